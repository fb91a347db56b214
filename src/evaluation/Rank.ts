/**
 * Where a target stands in a ranking with ties, and what that is worth.
 *
 * Items with equal scores, or that share a SID, stand in a uniformly random order: every metric is the expectation over
 * it. One target per user, so recall is the hit rate and the ideal gain is 1.
 */

/** `better` items stand before the target for certain, `tied` others share its place; infinite when it is not listed. */
export interface Rank {
  readonly better: number
  readonly tied: number
}

/** A target that the list does not hold. */
export const unlisted: Rank = { better: Infinity, tied: 0 }

const expectation = (rank: Rank, cutoff: number, gain: (position: number) => number): number => {
  const { better, tied } = rank
  if (better >= cutoff) return 0
  let sum = 0
  for (let position = better; position <= Math.min(better + tied, cutoff - 1); position++) sum += gain(position)
  return sum / (tied + 1)
}

/** Probability that the target is among the first `cutoff`. */
export const hit = (rank: Rank, cutoff: number): number => expectation(rank, cutoff, () => 1)

/** Expected `1 / log2(position + 2)` within the first `cutoff`, positions from 0. */
export const ndcg = (rank: Rank, cutoff: number): number =>
  expectation(rank, cutoff, (position) => 1 / Math.log2(position + 2))

/** Expected `1 / (position + 1)`. */
export const reciprocal = (rank: Rank): number =>
  Number.isFinite(rank.better) ? expectation(rank, Infinity, (position) => 1 / (position + 1)) : 0
