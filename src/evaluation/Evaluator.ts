/**
 * Computes model rows from rankings: metrics, 95 % intervals, coverage and Gini coefficient.
 */
import * as Effect from "effect/Effect"
import * as History from "../catalog/History.ts"
import { type Example } from "../catalog/Split.ts"
import * as Bootstrap from "../statistics/Bootstrap.ts"
import * as Gini from "../statistics/Gini.ts"
import { type Scorer } from "./baseline/Scorer.ts"
import { type ScorerError } from "./baseline/ScorerError.ts"
import { type ModelRow } from "./EvaluationRecord.ts"
import * as Protocol from "./Protocol.ts"
import * as Rank from "./Rank.ts"

/** List lengths at which HR and NDCG are reported. */
export const cutoffs = [1, 3, 5, 10, 20] as const

/** Result of a model for every example: the rank of the target, and the first items of the list, best first. */
export interface Ranking {
  readonly ranks: ReadonlyArray<Rank.Rank>
  readonly top: ReadonlyArray<Int32Array>
}

/** Number of first items of each list that count for coverage and the Gini coefficient. */
export const listed = 10

/**
 * Ranks all items of every example by `scores`, which returns one score per item, [N], higher is better. With
 * `historyExcluded`, items of the history are left out and a target among them is unlisted.
 */
export const byRows = (
  examples: ReadonlyArray<Example>,
  scores: (example: Example) => Float64Array,
  historyExcluded: boolean
): Ranking => {
  const ranked = examples.map((example) => rankRow(scores(example), example, historyExcluded))
  return { ranks: ranked.map(({ rank }) => rank), top: ranked.map(({ best }) => best) }
}

/** Number of examples scored in one call of a scorer. */
const together = 64

/** Ranks all items of every example by a scorer, as `byRows` does. */
export const byScores: (
  examples: ReadonlyArray<Example>,
  scorer: Scorer,
  historyExcluded: boolean
) => Effect.Effect<Ranking, ScorerError> = Effect.fn("Evaluator.byScores")(
  function*(examples, scorer, historyExcluded) {
    const parts: Array<Ranking> = []
    for (let at = 0; at < examples.length; at += together) {
      const some = examples.slice(at, at + together)
      const { data, width } = yield* scorer.scores(some.map(History.of))
      let row = 0
      parts.push(byRows(some, () => data.subarray(row * width, ++row * width), historyExcluded))
    }
    return { ranks: parts.flatMap(({ ranks }) => ranks), top: parts.flatMap(({ top }) => top) }
  }
)

const rankRow = (values: Float64Array, { history, target }: Example, historyExcluded: boolean) => {
  const excluded = Protocol.excludedItems(history, historyExcluded)
  const own = values[target]!
  let better = 0
  let tied = 0
  const best: Array<number> = []
  let threshold = -Infinity
  for (let item = 0; item < values.length; item++) {
    if (excluded.has(item)) continue
    const value = values[item]!
    if (item !== target) {
      if (value > own) better++
      else if (value === own) tied++
    }
    if (value > threshold || best.length < listed) {
      let at = best.length
      while (at > 0 && values[best[at - 1]!]! < value) at--
      best.splice(at, 0, item)
      if (best.length > listed) best.pop()
      if (best.length === listed) threshold = values[best[listed - 1]!]!
    }
  }
  return { rank: excluded.has(target) ? Rank.unlisted : { better, tied }, best: Int32Array.from(best) }
}

/** Returns the NDCG at a cutoff of every user, [users]. */
export const perUserNdcg = (ranks: ReadonlyArray<Rank.Rank>, cutoff: number): Float64Array =>
  Float64Array.from(ranks, (rank) => Rank.ndcg(rank, cutoff))

/**
 * Computes the row of a model from its ranking over a catalogue of `items` items. `seconds` is the time of the ranking;
 * `seed` seeds the bootstrap of the intervals.
 */
export const row = (name: string, ranking: Ranking, items: number, seconds: number, seed: number): ModelRow => {
  const values: Array<readonly [string, Float64Array]> = [
    ...cutoffs.flatMap((cutoff) => [
      [`HR@${cutoff}`, Float64Array.from(ranking.ranks, (rank) => Rank.hit(rank, cutoff))] as const,
      [`NDCG@${cutoff}`, perUserNdcg(ranking.ranks, cutoff)] as const
    ]),
    ["MRR", Float64Array.from(ranking.ranks, Rank.reciprocal)]
  ]
  const intervals = Bootstrap.intervals(values.map(([, list]) => list), seed)
  const counts = new Float64Array(items)
  for (const list of ranking.top) for (const item of list) counts[item]!++
  const users = Math.max(1, ranking.ranks.length)
  return {
    name,
    metrics: Object.fromEntries(values.map(([metric, list]) => [metric, list.reduce((a, b) => a + b, 0) / users])),
    ci95: Object.fromEntries(values.map(([metric], i) => [metric, intervals[i]!])),
    coverage: counts.filter((count) => count > 0).length / Math.max(1, items),
    gini: Gini.of(counts),
    seconds
  }
}
