/**
 * On-policy distillation of a teacher over the candidates of each group.
 *
 * The teacher is q = softmax(log p_reference + reward / temperature), the policy p = softmax(log p), both over the
 * candidates of a group, where `advantages` are the raw reward totals (`Advantage`, mode "raw"; a constant per group
 * changes nothing). q is the closed-form optimum of the expected reward less temperature x KL(p || p_reference) over
 * these candidates (Rafailov et al. 2023, equation 4; Peters et al. 2010). GRPO with beta = temperature approaches this
 * optimum by stochastic steps; here p is fitted to it directly, by the exact gradient p - q of KL(q || p) with respect
 * to a candidate's log-probability. Reverse and mixed divergences are those of GKD (Agarwal et al. 2024).
 *
 * Candidates may come from any source, such as beams of the policy or the teacher's best items, and must be distinct
 * within a group. The loss depends only on the proportions of probabilities within a group, not on the total mass of
 * its candidates.
 */
import * as Divergence from "../Divergence.ts"
import * as Objective from "../Objective.ts"

/** Settings of a distillation. */
export interface DistillationOptions {
  /** Reward difference that multiplies the teacher's odds by e, above 0. @default 1 */
  readonly temperature?: number | undefined
  /**
   * Share of the mode-seeking reverse divergence KL(p || q), 0 to 1; the remainder is the forward KL(q || p).
   * @default 0
   */
  readonly reverse?: number | undefined
  /** Whether the teacher contains the reference; if not, q = softmax(reward / temperature). @default true */
  readonly reference?: boolean | undefined
}

/**
 * Makes the objective. Its terms, divergences and entropies in nats: `forward` KL(q || p) and `reverse` KL(p || q);
 * `mass`, the probability of all candidates of a group under the policy; `teacherEntropy` over the candidates;
 * `entropy` over the children; and, with a reference, the exact `kl` from it over the children.
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
