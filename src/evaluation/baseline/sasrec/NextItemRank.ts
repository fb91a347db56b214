/**
 * Mean NDCG of a scorer over examples, for validation during training; no ranked lists are kept.
 */
import * as Effect from "effect/Effect"
import * as History from "../../../catalog/History.ts"
import { type Example } from "../../../catalog/Split.ts"
import * as Protocol from "../../Protocol.ts"
import * as Rank from "../../Rank.ts"
import { type Scorer } from "../Scorer.ts"
import { type ScorerError } from "../ScorerError.ts"

/** Returns the rank of an example's target by the scores of all items, [N]. */
export const of = (row: Float64Array, { history, target }: Example, historyExcluded: boolean): Rank.Rank => {
  const excluded = Protocol.excludedItems(history, historyExcluded)
  if (excluded.has(target)) return Rank.unlisted
  const own = row[target]!
  let better = 0
  let tied = -1
  for (const value of row) {
    if (value > own) better++
    else if (value === own) tied++
  }
  for (const item of excluded) {
    if (row[item]! > own) better--
    else if (row[item]! === own) tied--
  }
  return { better, tied }
}

/** Returns the mean NDCG at a cutoff; 0 without examples. `progress` is called with the number of examples done. */
export const meanNdcg: (
  examples: ReadonlyArray<Example>,
  scorer: Scorer,
  historyExcluded: boolean,
  cutoff: number,
  progress?: (done: number) => void
) => Effect.Effect<number, ScorerError> = Effect.fn("NextItemRank.meanNdcg")(
  function*(examples, scorer, historyExcluded, cutoff, progress) {
    let sum = 0
    for (let at = 0; at < examples.length; at += 64) {
      const some = examples.slice(at, at + 64)
      const { data, width } = yield* scorer.scores(some.map(History.of))
      for (const [i, example] of some.entries()) {
        sum += Rank.ndcg(of(data.subarray(i * width, (i + 1) * width), example, historyExcluded), cutoff)
      }
      progress?.(at + some.length)
    }
    return sum / Math.max(1, examples.length)
  }
)
