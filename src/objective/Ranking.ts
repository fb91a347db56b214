/**
 * Ranks and discounted gains of the candidates of each group, [P, G], for ranking losses.
 *
 * The relevance of a candidate is its advantage less the lowest of its group; raw rewards are the intended advantages.
 * Gains are linear in the relevance, so negative rewards are allowed, and a group whose advantages are all equal has
 * gains 0.
 */
import * as tf from "@tensorflow/tfjs"
import * as Objective from "./Objective.ts"

/** Reshapes values [P, G] to broadcast over pairs of candidates: those of i, [P, G, 1], and those of j, [P, 1, G]. */
export const pairs = (values: tf.Tensor): readonly [i: tf.Tensor, j: tf.Tensor] => [
  values.expandDims(2),
  values.expandDims(1)
]

/**
 * Returns the ranks by descending score, from 1, [P, G]; ties go to the earlier candidate. They are constants: no
 * gradient flows through them.
 */
export const ranks = (scores: tf.Tensor, mask: tf.Tensor): tf.Tensor =>
  tf.customGrad((...args) => {
    const [scores] = args as unknown as [tf.Tensor]
    const [score, other] = pairs(scores)
    const [place, otherPlace] = pairs(mask.cumsum(1))
    const above = other.greater(score).logicalOr(other.equal(score).logicalAnd(otherPlace.less(place)))
    return {
      value: above.cast("float32").mul(mask.expandDims(1)).sum(2).add(1),
      gradFunc: (dy: tf.Tensor) => [tf.zerosLike(dy)]
    }
  })(scores)

/** Returns the discounts of ranks, 1 / log2(1 + rank). */
export const discount = (rank: tf.Tensor): tf.Tensor => rank.add(1).log().reciprocal().mul(Math.LN2)

/** Returns gains divided by the discounted gain of the ideal order, [P, G]: the best order of a group has NDCG 1. */
export const normalisedGains = (groups: Objective.GroupTensors): tf.Tensor => {
  const { members: { mask } } = groups
  const relevance = Objective.byGroup(groups.advantages, groups)
  const least = relevance.add(mask.sub(1).mul(-1e9)).min(1, true)
  const gains = relevance.sub(least).mul(mask)
  const ideal = gains.mul(discount(ranks(gains, mask))).sum(1, true)
  return gains.div(ideal.add(ideal.equal(0).cast("float32")))
}

/** Returns the mean over groups of the NDCG of the order by `scores`, a scalar. */
export const ndcg = (scores: tf.Tensor, gains: tf.Tensor, groups: Objective.GroupTensors): tf.Tensor =>
  Objective.overGroups(gains.mul(discount(ranks(scores, groups.members.mask))), groups)
