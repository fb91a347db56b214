/**
 * ApproxNDCG (Qin, Liu and Li 2010): the negative NDCG of the candidates by smooth ranks, 1 + sum_(j != i) sigmoid((s_j
 * - s_i) / temperature), with s the log-probabilities of the candidates. As the temperature goes to 0, the smooth NDCG
 * becomes the exact one.
 *
 * Differs from the paper: gains are linear in the relevance, see `Ranking`.
 */
import * as tf from "@tensorflow/tfjs"
import * as Divergence from "../Divergence.ts"
import * as Objective from "../Objective.ts"
import * as Ranking from "../Ranking.ts"

/**
 * Makes the objective; `temperature` is above 0, by default 1. Its terms are the exact `ndcg` of the policy's order of
 * the candidates, and `entropy` over the children, in nats.
 */
export const make = (
  { temperature = 1 }: { readonly temperature?: number | undefined } = {}
): Objective.GroupObjective => ({
  name: "approx-ndcg",
  needs: { behaviour: false, reference: false },
  scalars: { temperature },
  loss: (groups, { temperature }) => {
    const scores = Objective.byGroup(Objective.leafLogProbs(groups), groups)
    const gains = Ranking.normalisedGains(groups)
    const [score, otherScore] = Ranking.pairs(scores)
    const above = tf.sigmoid(otherScore.sub(score).div(temperature!)).mul(groups.members.mask.expandDims(1))
    // The sum contains the candidate's comparison with itself, sigmoid(0) = 0.5, so the rank is the sum + 1 - 0.5.
    const rank = above.sum(2).add(0.5)
    return {
      loss: Objective.overGroups(gains.mul(Ranking.discount(rank)), groups).neg(),
      terms: {
        ndcg: Ranking.ndcg(scores, gains, groups),
        entropy: Objective.overSteps(Divergence.entropyOfSteps(groups), groups)
      }
    }
  }
})
