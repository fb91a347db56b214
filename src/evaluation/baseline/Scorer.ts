/**
 * Models that score every item of the catalogue after a history: baselines, heads over items, mixtures of them.
 */
import * as Effect from "effect/Effect"
import { type History } from "../../catalog/History.ts"
import { ScorerError } from "./ScorerError.ts"

/** Scores [B, N], row-major; in double precision, for equal scores share their ranks. */
export interface Scores {
  readonly rows: number
  readonly width: number
  readonly data: Float64Array
}

/** Higher is better. Items with a score of 0 have no evidence for them and are ranked last, together. */
export interface Scorer {
  readonly name: string
  /** Scores of the N items after each of B histories [B, N]. */
  scores(histories: ReadonlyArray<History>): Effect.Effect<Scores, ScorerError>
}

/** Makes a scorer of a plain function; `score` writes one row of `items` zeros. */
export const make = (name: string, items: number, score: (history: History, row: Float64Array) => void): Scorer => ({
  name,
  scores: (histories) =>
    Effect.suspend(() => {
      const data = new Float64Array(histories.length * items)
      for (const [at, history] of histories.entries()) {
        const outside = history.items.find((item) => !(item >= 0 && item < items))
        if (outside !== undefined) {
          return Effect.fail(
            new ScorerError({
              scorer: name,
              detail: `history ${at} (user ${history.user}) holds item ${outside}, and the catalogue has ${items}; ` +
                "fit it on the catalogue that it is asked about"
            })
          )
        }
        score(history, data.subarray(at * items, (at + 1) * items))
      }
      return Effect.succeed({ rows: histories.length, width: items, data })
    })
})
