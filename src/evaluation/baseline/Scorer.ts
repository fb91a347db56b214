/**
 * Scorers: models that score every item of the catalogue after a history, such as baselines, item heads and mixtures.
 */
import * as Effect from "effect/Effect"
import { type History } from "../../catalog/History.ts"
import { ScorerError } from "./ScorerError.ts"

/** Scores [B, N], row-major; in float64, because rounding would create ties. */
export interface Scores {
  readonly rows: number
  readonly width: number
  readonly data: Float64Array
}

/** Scorer of items: higher scores are better, and a score of 0 means no evidence for the item. */
export interface Scorer {
  readonly name: string
  /** Returns the scores of the N items after each of B histories, [B, N]. */
  scores(histories: ReadonlyArray<History>): Effect.Effect<Scores, ScorerError>
}

/**
 * Makes a scorer from a plain function; `score` adds to or overwrites a row of zeros, [N], where N is `items`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import * as Scorer from "sidereal/evaluation/baseline/Scorer"
 *
 * const latest = Scorer.make("latest", 3, ({ items }, row) => {
 *   for (const [place, item] of items.entries()) row[item] = place + 1
 * })
 * const { data, width } = await Effect.runPromise(
 *   latest.scores([{ user: 0, items: Int32Array.of(2, 0) }, { user: 1, items: Int32Array.of(1) }])
 * )
 * assert.equal(width, 3)
 * assert.deepEqual(Array.from(data), [2, 0, 1, 0, 1, 0])
 * ```
 */
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
              detail:
                `history ${at} (user ${history.user}) holds item ${outside}, but the catalogue has ${items} items; ` +
                "fit the scorer on the catalogue of these histories"
            })
          )
        }
        score(history, data.subarray(at * items, (at + 1) * items))
      }
      return Effect.succeed({ rows: histories.length, width: items, data })
    })
})
