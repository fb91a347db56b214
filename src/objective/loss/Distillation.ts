/**
 * On-policy distillation of a teacher over the candidates of each group.
 *
 * The teacher is q = softmax((log p_reference + reward / temperature) / softening), the policy p = softmax(log p), both
 * over the candidates of a group, where `advantages` are the raw reward totals (`Advantage`, mode "raw"; a constant per
 * group changes nothing). At softening 1, q is the closed-form optimum of the expected reward less temperature x
 * KL(p || p_reference) over these candidates (Rafailov et al. 2023, equation 4; Peters et al. 2010). GRPO with beta =
 * temperature approaches this optimum by stochastic steps; here p is fitted to it directly, by the exact gradient p - q
 * of KL(q || p) with respect to a candidate's log-probability. A softening above 1 keeps the order of the teacher and
 * spreads its probability, as the temperature of Hinton et al. 2015 does. Reverse and mixed divergences are those of
 * GKD (Agarwal et al. 2024).
 *
 * Candidates may come from any source, such as beams of the policy or the teacher's best items, and must be distinct
 * within a group. Without `rest` the loss depends only on the proportions of probabilities within a group, and the total
 * mass of its candidates drifts. With `rest` all other leaves are one more class, whose probability is what the
 * candidates leave.
 */
import * as tf from "@tensorflow/tfjs"
import * as Schema from "effect/Schema"
import * as Divergence from "../Divergence.ts"
import * as Objective from "../Objective.ts"

/**
 * Treatment of the leaves that are no candidates.
 *
 * - `none`: they do not count.
 * - `least`: they are a class with the least reward of the group's candidates.
 * - `held`: they are a class with the probability that the reference gives them; the teacher divides the rest among the
 *   candidates.
 */
export const Rest = Schema.Literals(["none", "least", "held"])
export type Rest = typeof Rest.Type

/** Settings of a distillation. */
export interface DistillationOptions {
  /** Reward difference that multiplies the teacher's odds by e, above 0. @default 1 */
  readonly temperature?: number | undefined
  /** Divisor of the teacher's log-probabilities, above 0; above 1 the teacher is less certain. @default 1 */
  readonly softening?: number | undefined
  /**
   * Share of the mode-seeking reverse divergence KL(p || q), 0 to 1; the remainder is the forward KL(q || p).
   * @default 0
   */
  readonly reverse?: number | undefined
  /** Treatment of the leaves that are no candidates. @default "none" */
  readonly rest?: Rest | undefined
  /** Whether the teacher contains the reference; if not, q = softmax(reward / temperature) and `rest` is "none". @default true */
  readonly reference?: boolean | undefined
}

/** Least probability of the rest, where rounding leaves nothing. */
const leastRest = 1e-6

/** Appends to the log-probabilities of each group [P, G] that of all other leaves; returns [P, G + 1]. */
const withRest = (logProbs: tf.Tensor, mask: tf.Tensor): tf.Tensor => {
  const rest = tf.scalar(1).sub(logProbs.exp().mul(mask).sum(1, true)).maximum(leastRest).log()
  return tf.concat([logProbs, rest], 1)
}

/** Appends to the rewards of each group [P, G] their least. */
const withLeast = (rewards: tf.Tensor, mask: tf.Tensor): tf.Tensor =>
  tf.concat([rewards, rewards.add(tf.scalar(1).sub(mask).mul(1e9)).min(1, true)], 1)

/** Returns the log-softmax of scores over the classes of each group; about -1e9 for padding. */
const logSoftmax = (scores: tf.Tensor, mask: tf.Tensor): tf.Tensor => tf.logSoftmax(scores.add(mask.sub(1).mul(1e9)))

/** Returns the log-probabilities of the teacher, [P, G] or with a rest [P, G + 1]. */
const teach = (
  rewards: tf.Tensor,
  reference: tf.Tensor | undefined,
  mask: tf.Tensor,
  rest: Rest,
  softening: tf.Tensor
): tf.Tensor => {
  const over = (scores: tf.Tensor, classes: tf.Tensor) => logSoftmax(scores.div(softening), classes)
  if (reference === undefined) return over(rewards, mask)
  const among = over(rewards.add(reference), mask)
  if (rest === "none") return among
  const prior = withRest(reference, mask)
  const others = tf.slice(prior, [0, mask.shape[1]!], [-1, 1])
  return rest === "held"
    ? tf.concat([among.add(tf.scalar(1).sub(others.exp()).maximum(leastRest).log()), others], 1)
    : over(withLeast(rewards, mask).add(prior), tf.concat([mask, mask.max(1, true)], 1))
}

/**
 * Makes the objective. Its terms, divergences and entropies in nats: `forward` KL(q || p) and `reverse` KL(p || q);
 * `mass`, the probability of all candidates of a group under the policy; `teacherEntropy` over the candidates;
 * `entropy` over the children; and, with a reference, the exact `kl` from it over the children.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Distillation from "sidereal/objective/loss/Distillation"
 *
 * const objective = Distillation.make({ temperature: 0.5, reverse: 0.2 })
 * assert.equal(objective.name, "distillation")
 * assert.deepEqual(objective.needs, { behaviour: false, reference: true })
 * assert.equal(Distillation.make({ reference: false }).needs.reference, false)
 * ```
 */
export const make = (
  { reference = true, rest = "none", reverse = 0, softening = 1, temperature = 1 }: DistillationOptions = {}
): Objective.GroupObjective => ({
  name: "distillation",
  needs: { behaviour: false, reference },
  scalars: { temperature, softening, reverse },
  loss: (groups, { reverse: share, softening, temperature }) => {
    const { mask } = groups.members
    const isOpen = reference && rest !== "none"
    const classes = isOpen ? tf.concat([mask, mask.max(1, true)], 1) : mask
    const leaves = Objective.byGroup(Objective.leafLogProbs(groups), groups)
    const logQ = teach(
      Objective.byGroup(groups.advantages.div(temperature!), groups),
      reference ? Objective.byGroup(groups.reference.mul(groups.mask).sum(1), groups) : undefined,
      mask,
      rest,
      softening!
    )
    const logP = logSoftmax(isOpen ? withRest(leaves, mask) : leaves, classes)
    const gap = logQ.sub(logP).mul(classes)
    const forward = Objective.overGroups(logQ.exp().mul(gap), groups)
    const backward = Objective.overGroups(logP.exp().mul(gap), groups).neg()
    return {
      loss: forward.add(backward.sub(forward).mul(share!)),
      terms: {
        forward,
        reverse: backward,
        mass: Objective.overGroups(leaves.exp().mul(mask), groups),
        teacherEntropy: Objective.overGroups(logQ.exp().mul(logQ).mul(classes), groups).neg(),
        entropy: Objective.overSteps(Divergence.entropyOfSteps(groups), groups),
        ...(reference ? { kl: Objective.overSteps(Divergence.ofSteps("exact", groups), groups) } : {})
      }
    }
  }
})
