/**
 * Rank of a target in a list with ties, and its metrics.
 *
 * Items with equal scores or the same SID are tied: every metric is the expectation over a uniformly random order of
 * the tied items. There is one target per user, so recall equals the hit rate and the ideal DCG is 1.
 */

/**
 * Rank of a target: `better` items are before it, `tied` others are tied with it; `better` is Infinity if unlisted.
 */
export interface Rank {
  readonly better: number
  readonly tied: number
}

/** Rank of a target that is not in the list. */
export const unlisted: Rank = { better: Infinity, tied: 0 }

const expectation = (rank: Rank, cutoff: number, gain: (position: number) => number): number => {
  const { better, tied } = rank
  if (better >= cutoff) return 0
  let sum = 0
  for (let position = better; position <= Math.min(better + tied, cutoff - 1); position++) sum += gain(position)
  return sum / (tied + 1)
}

/** Returns the probability that the target is among the first `cutoff` items. */
export const hit = (rank: Rank, cutoff: number): number => expectation(rank, cutoff, () => 1)

/**
 * Returns the NDCG: the expected `1 / log2(position + 2)` within the first `cutoff` items, positions from 0.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Rank from "sidereal/evaluation/Rank"
 *
 * assert.equal(Rank.ndcg({ better: 0, tied: 0 }, 10), 1)
 * assert.equal(Rank.ndcg({ better: 2, tied: 0 }, 10), 0.5)
 * assert.equal(Rank.ndcg(Rank.unlisted, 10), 0)
 * assert.equal(Rank.hit({ better: 0, tied: 1 }, 1), 0.5)
 * ```
 */
export const ndcg = (rank: Rank, cutoff: number): number =>
  expectation(rank, cutoff, (position) => 1 / Math.log2(position + 2))

/** Returns the reciprocal rank: the expected `1 / (position + 1)`, positions from 0; 0 if unlisted. */
export const reciprocal = (rank: Rank): number =>
  Number.isFinite(rank.better) ? expectation(rank, Infinity, (position) => 1 / (position + 1)) : 0

/** Returns the mean NDCG at a cutoff; 0 for no ranks. */
export const meanNdcg = (ranks: ReadonlyArray<Rank>, cutoff: number): number =>
  ranks.reduce((sum, rank) => sum + ndcg(rank, cutoff), 0) / Math.max(1, ranks.length)
