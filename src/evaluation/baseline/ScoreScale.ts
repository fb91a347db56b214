/**
 * Scales on which the scores of different scorers can be compared and combined.
 */
import * as Effect from "effect/Effect"
import { ScorerError } from "./ScorerError.ts"

/**
 * Scale of a row of scores [N].
 *
 * - `logMass`: `log(score / sum + epsilon)`, uniform if all scores are 0; for non-negative scores such as co-occurrence
 *   counts.
 * - `logSoftmax`: `log softmax(score / temperature)`; for logits.
 * - `standardised`: `(score - mean) / deviation` over the N items, 0 if all are equal; for scores of any kind.
 */
export type ScoreScale =
  | { readonly kind: "logMass"; /** @default 1e-4 */ readonly epsilon?: number | undefined }
  | { readonly kind: "logSoftmax"; /** @default 1 */ readonly temperature?: number | undefined }
  | { readonly kind: "standardised" }

/** Default epsilon of `logMass`. */
export const epsilon = 1e-4

/** Converts a row of scores to a scale; fails for scores that are not finite and, on `logMass`, for negative ones. */
export const apply = (
  scorer: string,
  row: Float64Array,
  scale: ScoreScale
): Effect.Effect<Float64Array, ScorerError> => {
  const least = scale.kind === "logMass" ? 0 : -Number.MAX_VALUE
  const bad = row.findIndex((score) => !(score >= least && score < Infinity))
  if (bad >= 0) {
    return Effect.fail(
      new ScorerError({
        scorer,
        detail: `item ${bad} has the score ${row[bad]}; ${
          least === 0 ? "a mass is finite and at least 0; use logSoftmax for logits" : "scores must be finite"
        }`
      })
    )
  }
  switch (scale.kind) {
    case "logMass": {
      const sum = row.reduce((a, b) => a + b, 0)
      const floor = scale.epsilon ?? epsilon
      return Effect.succeed(row.map((score) => Math.log((sum === 0 ? 1 / row.length : score / sum) + floor)))
    }
    case "logSoftmax": {
      const temperature = scale.temperature ?? 1
      const most = row.reduce((a, b) => Math.max(a, b), -Infinity)
      const sum = row.reduce((total, score) => total + Math.exp((score - most) / temperature), 0)
      return Effect.succeed(row.map((score) => (score - most) / temperature - Math.log(sum)))
    }
    case "standardised": {
      const mean = row.reduce((a, b) => a + b, 0) / row.length
      const deviation = Math.sqrt(row.reduce((sum, score) => sum + (score - mean) ** 2, 0) / row.length)
      return Effect.succeed(row.map((score) => deviation === 0 ? 0 : (score - mean) / deviation))
    }
  }
}
