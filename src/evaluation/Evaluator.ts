/**
 * Evaluation of rankings as model rows: metrics, intervals, coverage, inequality, and metrics of slices of the users.
 */
import * as Effect from "effect/Effect"
import * as History from "../catalog/History.ts"
import { type Example } from "../catalog/Split.ts"
import * as Bootstrap from "../statistics/Bootstrap.ts"
import * as Gini from "../statistics/Gini.ts"
import { type Scorer, type Scores } from "./baseline/Scorer.ts"
import { type ScorerError } from "./baseline/ScorerError.ts"
import { type ModelRow } from "./EvaluationRecord.ts"
import * as Protocol from "./Protocol.ts"
import * as Rank from "./Rank.ts"
import { type Slice } from "./Slices.ts"

/** List lengths at which HR and NDCG are reported. */
export const cutoffs = [1, 3, 5, 10, 20, 50] as const

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

/**
 * Ranks all items as `byRows` does by each of several scores of the same histories, once for each value of
 * `historyExcluded` in `modes`, [scores][modes]; `scores` is called once for every part of the examples. `progress` is
 * called with the number of examples done so far.
 */
export const byEach: <E>(
  examples: ReadonlyArray<Example>,
  scores: (histories: ReadonlyArray<History.History>) => Effect.Effect<ReadonlyArray<Scores>, E>,
  modes: ReadonlyArray<boolean>,
  progress?: (done: number) => void
) => Effect.Effect<ReadonlyArray<ReadonlyArray<Ranking>>, E> = Effect.fn("Evaluator.byEach")(
  function*(examples, scores, modes, progress) {
    const parts: Array<ReadonlyArray<ReadonlyArray<Ranking>>> = []
    for (let at = 0; at < examples.length; at += together) {
      const some = examples.slice(at, at + together)
      const scored = yield* scores(some.map(History.of))
      parts.push(scored.map(({ data, width }) =>
        modes.map((historyExcluded) => {
          let row = 0
          return byRows(some, () => data.subarray(row * width, ++row * width), historyExcluded)
        })
      ))
      progress?.(at + some.length)
    }
    return (parts[0] ?? []).map((_, which) =>
      modes.map((_, mode) => ({
        ranks: parts.flatMap((part) => part[which]![mode]!.ranks),
        top: parts.flatMap((part) => part[which]![mode]!.top)
      }))
    )
  }
)

/** Ranks all items by a scorer once for each value of `historyExcluded` in `modes`, [modes], as `byEach` does. */
export const byScoresEach = (
  examples: ReadonlyArray<Example>,
  scorer: Scorer,
  modes: ReadonlyArray<boolean>,
  progress?: (done: number) => void
): Effect.Effect<ReadonlyArray<Ranking>, ScorerError> =>
  Effect.map(
    byEach(examples, (histories) => Effect.map(scorer.scores(histories), (one) => [one]), modes, progress),
    ([rankings]) => rankings ?? modes.map(() => ({ ranks: [], top: [] }))
  )

/** Ranks all items by a scorer as `byRows` does. */
export const byScores = (
  examples: ReadonlyArray<Example>,
  scorer: Scorer,
  historyExcluded: boolean
): Effect.Effect<Ranking, ScorerError> =>
  Effect.map(byScoresEach(examples, scorer, [historyExcluded]), ([ranking]) => ranking!)

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

/** Returns the hit probability at a cutoff of every user, [users]. */
export const perUserHits = (ranks: ReadonlyArray<Rank.Rank>, cutoff: number): Float64Array =>
  Float64Array.from(ranks, (rank) => Rank.hit(rank, cutoff))

/** Input of a model row. */
export interface RowOptions {
  readonly name: string
  readonly ranking: Ranking
  /** Number of items of the catalogue, N. */
  readonly items: number
  /** Wall-clock seconds of the ranking. */
  readonly seconds: number
  /** Seed of the bootstrap intervals. */
  readonly seed: number
  /** Length of the lists; metrics at greater cutoffs are omitted. @default all items */
  readonly longest?: number | undefined
  /** Slices of the users with separate metrics. @default [] */
  readonly slices?: ReadonlyArray<Slice> | undefined
}

const mean = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / Math.max(1, values.length)
}

/** Computes HR@10 and NDCG@10 of every slice. */
const sliceMetrics = new Set(["HR@10", "NDCG@10"])

/**
 * Computes the row of a ranking.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import * as Popularity from "sidereal/evaluation/baseline/Popularity"
 * import * as Evaluator from "sidereal/evaluation/Evaluator"
 *
 * const train = [Int32Array.of(0, 1, 2), Int32Array.of(0, 2), Int32Array.of(2)]
 * const test = [{ user: 0, history: Int32Array.of(1), target: 2 }, { user: 1, history: Int32Array.of(2), target: 1 }]
 * const ranking = await Effect.runPromise(Evaluator.byScores(test, Popularity.fit(train, 3), true))
 * const { ci95, metrics } = Evaluator.row({ name: "popularity", ranking, items: 3, seconds: 0, seed: 1 })
 * assert.equal(metrics["HR@1"], 0.5)
 * assert.deepEqual(ci95["HR@1"], [0, 1])
 * ```
 */
export const row = ({
  items,
  longest = Infinity,
  name,
  ranking,
  seconds,
  seed,
  slices = []
}: RowOptions): ModelRow => {
  const values: ReadonlyArray<readonly [string, Float64Array]> = [
    ...cutoffs.flatMap((cutoff) =>
      cutoff > longest ? [] : [
        [`HR@${cutoff}`, perUserHits(ranking.ranks, cutoff)] as const,
        [`NDCG@${cutoff}`, perUserNdcg(ranking.ranks, cutoff)] as const
      ]
    ),
    ["MRR", Float64Array.from(ranking.ranks, Rank.reciprocal)]
  ]
  const intervals = Bootstrap.intervals(values.map(([, list]) => list), seed)
  const counts = new Float64Array(items)
  for (const list of ranking.top) for (const item of list) counts[item]!++
  const sliced = values.filter(([metric]) => sliceMetrics.has(metric))
  return {
    name,
    metrics: Object.fromEntries(values.map(([metric, list]) => [metric, mean(list)])),
    ci95: Object.fromEntries(values.map(([metric], i) => [metric, intervals[i]!])),
    slices: Object.fromEntries(slices.map(({ examples, name }) => [
      name,
      Object.fromEntries(
        sliced.map(([metric, list]) => [metric, mean(Float64Array.from(examples, (at) => list[at]!))] as const)
      )
    ])),
    coverage: counts.filter((count) => count > 0).length / Math.max(1, items),
    gini: Gini.of(counts),
    seconds
  }
}
