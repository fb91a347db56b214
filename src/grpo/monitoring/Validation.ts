/**
 * Validation of a policy on validation users, compared with the policy before training.
 */
import { type Example } from "../../catalog/Dataset.ts"
import { type RankedExample } from "../../evaluation/PolicyRanking.ts"
import * as Rank from "../../evaluation/Rank.ts"
import { type RunEvent } from "../../run/RunLog.ts"
import * as Bootstrap from "../../statistics/Bootstrap.ts"

/** Measures of one validation. */
export interface Validation {
  /** Mean NDCG@10, 0 to 1. */
  readonly ndcg: number
  /** HR@10, 0 to 1. */
  readonly hitRate: number
  /** Mean NDCG@10 less that of the start. */
  readonly difference: number
  /** Paired 95 % bootstrap interval of `difference`. */
  readonly interval: Bootstrap.Interval
  /** Share of the users whose target is anywhere in their list, 0 to 1. */
  readonly breadth: number
  /** `breadth` less that of the start. */
  readonly breadthDifference: number
  /** Paired 95 % bootstrap interval of `breadthDifference`. */
  readonly breadthInterval: Bootstrap.Interval
  /** HR@10 on the quarter of the users with the least popular targets, less that of the start. */
  readonly coldDifference: number
  /** Paired 95 % bootstrap interval of `coldDifference`. */
  readonly coldInterval: Bootstrap.Interval
  /** Share of the users whose first recommendation is the most frequent first recommendation, 0 to 1. */
  readonly topShare: number
}

const meanOf = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / Math.max(1, values.length)
}

const compare = (now: Float64Array, start: Float64Array, seed: number) => ({
  difference: meanOf(now) - meanOf(start),
  interval: Bootstrap.pairedInterval(now, start, seed)
})

/** Returns the quarter of the users with the fewest training events of their targets; ties go to the earlier user. */
const coldest = (users: ReadonlyArray<Example>, popularity: ArrayLike<number>): ReadonlyArray<number> =>
  users.map((_, user) => user)
    .toSorted((a, b) => popularity[users[a]!.target]! - popularity[users[b]!.target]! || a - b)
    .slice(0, Math.ceil(users.length / 4))

/** Returns the share of lists that begin with the most frequent first leaf. */
const topShareOf = (ranked: ReadonlyArray<RankedExample>): number => {
  const counts = new Map<number, number>()
  for (const { ranked: { leaves } } of ranked) {
    const first = leaves[0]
    if (first !== undefined) counts.set(first, (counts.get(first) ?? 0) + 1)
  }
  return Math.max(0, ...counts.values()) / Math.max(1, ranked.length)
}

/**
 * Measures rankings of the validation users. `start` are the rankings by the policy before training, `popularity` the
 * training events of each item, [N], and `seed` that of the bootstrap.
 */
export const of = (
  users: ReadonlyArray<Example>,
  ranked: ReadonlyArray<RankedExample>,
  start: ReadonlyArray<RankedExample>,
  popularity: ArrayLike<number>,
  seed: number
): Validation => {
  const ndcg = (list: ReadonlyArray<RankedExample>) => Float64Array.from(list, ({ item }) => Rank.ndcg(item, 10))
  const hitsAt = (cutoff: number) => (list: ReadonlyArray<RankedExample>) =>
    Float64Array.from(list, ({ item }) => Rank.hit(item, cutoff))
  const [hits, listed] = [hitsAt(10), hitsAt(Infinity)]
  const cold = coldest(users, popularity)
  const coldHits = (list: ReadonlyArray<RankedExample>) => hits(cold.map((user) => list[user]!))
  const { difference: coldDifference, interval: coldInterval } = compare(coldHits(ranked), coldHits(start), seed)
  const { difference: breadthDifference, interval: breadthInterval } = compare(listed(ranked), listed(start), seed)
  return {
    ndcg: meanOf(ndcg(ranked)),
    hitRate: meanOf(hits(ranked)),
    breadth: meanOf(listed(ranked)),
    breadthDifference,
    breadthInterval,
    ...compare(ndcg(ranked), ndcg(start), seed),
    coldDifference,
    coldInterval,
    topShare: topShareOf(ranked)
  }
}

/** Returns the event of a validation for the log of a run; `phase` is the kind of the phase's checkpoints. */
export const event = (phase: string, step: number, validation: Validation): RunEvent => ({
  kind: `${phase}.validation`,
  step,
  fields: {
    "NDCG@10": validation.ndcg,
    "HR@10": validation.hitRate,
    difference: validation.difference,
    differenceLow: validation.interval[0],
    differenceHigh: validation.interval[1],
    breadth: validation.breadth,
    breadthDifference: validation.breadthDifference,
    breadthLow: validation.breadthInterval[0],
    breadthHigh: validation.breadthInterval[1],
    coldDifference: validation.coldDifference,
    coldLow: validation.coldInterval[0],
    coldHigh: validation.coldInterval[1],
    topShare: validation.topShare
  }
})
