/**
 * LambdaLoss (Wang et al. 2018, NDCG-Loss2++): a logistic loss over pairs of candidates with different gains, weighted
 * by the change in NDCG that exchanging the two would cause.
 *
 * Sum over pairs with gain_i > gain_j of (rho + mu delta) (gain_i - gain_j) log2(1 + exp(-sigma (s_i - s_j))), with s
 * the log-probabilities of the candidates, rho = |1/D(rank_i) - 1/D(rank_j)|, delta = |1/D(d) - 1/D(d + 1)| for ranks d
 * apart, and D(x) = log2(1 + x). `mu` 0 is LambdaRank (Burges et al. 2006).
 *
 * Differs from the paper: gains are linear in the relevance, see `Ranking`.
 */
import * as tf from "@tensorflow/tfjs"
import * as Divergence from "../Divergence.ts"
import * as Objective from "../Objective.ts"
import * as Ranking from "../Ranking.ts"

/**
 * Makes the objective; `mu` is by default 10, `sigma` 1. Its terms are `ndcg` of the policy's order of the candidates,
 * and `entropy` over the children, in nats.
 */
export const make = (
  { mu = 10, sigma = 1 }: { readonly mu?: number | undefined; readonly sigma?: number | undefined } = {}
): Objective.GroupObjective => ({
  name: "lambda-loss",
  needs: { behaviour: false, reference: false },
  scalars: { mu, sigma },
  loss: (groups, { mu, sigma }) => {
    const scores = Objective.byGroup(Objective.leafLogProbs(groups), groups)
    const gains = Ranking.normalisedGains(groups)
    const ranks = Ranking.ranks(scores, groups.members.mask)
    const [score, otherScore] = Ranking.pairs(scores)
    const [gain, otherGain] = Ranking.pairs(gains)
    const [rank, otherRank] = Ranking.pairs(ranks)
    // The distance of a candidate to itself, 0, has no discount: 1 replaces it, and the weight of the pair is 0.
    const distance = tf.maximum(rank.sub(otherRank).abs(), 1)
    const rho = Ranking.discount(rank).sub(Ranking.discount(otherRank)).abs()
    const delta = Ranking.discount(distance).sub(Ranking.discount(distance.add(1)))
    const [present, otherPresent] = Ranking.pairs(groups.members.mask)
    const weight = rho.add(delta.mul(mu!)).mul(tf.relu(gain.sub(otherGain))).mul(present.mul(otherPresent))
    const cost = tf.softplus(score.sub(otherScore).mul(sigma!).neg()).div(Math.LN2)
    return {
      loss: Objective.overGroups(weight.mul(cost), groups),
      terms: {
        ndcg: Ranking.ndcg(scores, gains, groups),
        entropy: Objective.overSteps(Divergence.entropyOfSteps(groups), groups)
      }
    }
  }
})
