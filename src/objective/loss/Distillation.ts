/**
 * On-policy distillation of a teacher over the candidates of each group.
 *
 * The teacher is q = softmax(log p_reference + reward / temperature), the policy p = softmax(log p), both over the
 * candidates of a group, where `advantages` carry the raw reward totals (`Advantage`, mode "raw"; a constant per group
 * changes nothing). q is the closed-form optimum of the expected reward less temperature x KL(p || p_reference) over
 * these candidates (Rafailov et al. 2023, equation 4; Peters et al. 2010): what GRPO with beta = temperature climbs
 * towards by noisy steps is fitted here directly, by the exact gradient of KL(q || p) with respect to a candidate's
 * log-probability, p - q. Reverse and mixed divergences as in GKD (Agarwal et al. 2024).
 *
 * Candidates may come from anywhere, beams of the policy or the teacher's best; they must be distinct within a group. The
 * mass of all other leaves is not moved: only proportions within a group are taught.
 */
import * as Divergence from "../Divergence.ts"
import * as Objective from "../Objective.ts"

/** Settings of a distillation. */
export interface DistillationOptions {
  /** Reward that multiplies the teacher's odds by e. @default 1 */
  readonly temperature?: number | undefined
  /** Share of the reverse divergence KL(p || q), which seeks modes; the rest is KL(q || p), which covers. @default 0 */
  readonly reverse?: number | undefined
  /** Whether the teacher begins from the reference; without it, q = softmax(reward / temperature). @default true */
  readonly reference?: boolean | undefined
}

/**
 * Makes the objective. Its terms: `forward` KL(q || p), `reverse` KL(p || q), `mass` of the candidates under the policy,
 * `teacherEntropy` over the candidates, `entropy` over the children, and `kl` from the reference, exactly over the
 * children, where there is one.
 */
export const make = (
  { reference = true, reverse = 0, temperature = 1 }: DistillationOptions = {}
): Objective.GroupObjective => ({
  name: "distillation",
  needs: { behaviour: false, reference },
  scalars: { temperature, reverse },
  loss: (groups, { reverse: share, temperature }) => {
    const { advantages, mask } = groups
    const rewards = advantages.div(temperature!)
    const teacher = reference ? groups.reference.mul(mask).sum(1).add(rewards) : rewards
    const leaves = Objective.byGroup(Objective.leafLogProbs(groups), groups)
    const logQ = Objective.logSoftmaxOfGroups(Objective.byGroup(teacher, groups), groups)
    const logP = Objective.logSoftmaxOfGroups(leaves, groups)
    const gap = logQ.sub(logP).mul(groups.members.mask)
    const forward = Objective.overGroups(logQ.exp().mul(gap), groups)
    const backward = Objective.overGroups(logP.exp().mul(gap), groups).neg()
    return {
      loss: forward.add(backward.sub(forward).mul(share!)),
      terms: {
        forward,
        reverse: backward,
        mass: Objective.overGroups(leaves.exp().mul(groups.members.mask), groups),
        teacherEntropy: Objective.overGroups(logQ.exp().mul(logQ), groups).neg(),
        entropy: Objective.overSteps(Divergence.entropyOfSteps(groups), groups),
        ...(reference ? { kl: Objective.overSteps(Divergence.ofSteps("exact", groups), groups) } : {})
      }
    }
  }
})
