/**
 * Ranks and discounted gains of the candidates of groups [P, G], for losses that order them.
 *
 * The relevance of a candidate is its advantage above the least of its group (raw rewards stand for relevance best), and
 * gains are linear in it: negative rewards are allowed, and a group without any difference has no gain.
 */
import * as tf from "@tensorflow/tfjs"
import * as Objective from "./Objective.ts"

/** Shows a value of candidate i and of candidate j for each pair [P, G, 1] and [P, 1, G]. */
export const pairs = (values: tf.Tensor): readonly [i: tf.Tensor, j: tf.Tensor] => [
  values.expandDims(2),
  values.expandDims(1)
]

/** Ranks by descending score, from 1, as constants; ties are broken by the order of the candidates. */
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

/** The discount of a rank: 1 / log2(1 + rank). */
export const discount = (rank: tf.Tensor): tf.Tensor => rank.add(1).log().reciprocal().mul(Math.LN2)

/** Gains over the discounted gain of the ideal order, so that the best order of a group sums to 1 [P, G]. */
export const normalisedGains = (groups: Objective.GroupTensors): tf.Tensor => {
  const { members: { mask } } = groups
  const relevance = Objective.byGroup(groups.advantages, groups)
  const least = relevance.add(mask.sub(1).mul(-1e9)).min(1, true)
  const gains = relevance.sub(least).mul(mask)
  const ideal = gains.mul(discount(ranks(gains, mask))).sum(1, true)
  return gains.div(ideal.add(ideal.equal(0).cast("float32")))
}

/** Mean NDCG of the order of the scores over groups. */
export const ndcg = (scores: tf.Tensor, gains: tf.Tensor, groups: Objective.GroupTensors): tf.Tensor =>
  Objective.overGroups(gains.mul(discount(ranks(scores, groups.members.mask))), groups)
