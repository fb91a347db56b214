/**
 * Several scorers as one: a weighted sum of their scores on scales that can be compared.
 */
import * as Effect from "effect/Effect"
import { type Scorer } from "./Scorer.ts"
import { ScorerError } from "./ScorerError.ts"
import * as ScoreScale from "./ScoreScale.ts"

/** One scorer of a fusion. */
export interface FusionPart {
  readonly scorer: Scorer
  readonly weight: number
  /** @default logMass */
  readonly scale?: ScoreScale.ScoreScale | undefined
}

const usual: ScoreScale.ScoreScale = { kind: "logMass" }

/**
 * Makes a scorer of `exp(sum_k weight_k f_k)`, with f_k the scores of the k-th on its scale, scaled so that the best item
 * of a history has 1: a product of experts (Hinton 2002). It is in the order of the sum, never negative, and so a mass for
 * `ScorerPrior` and for the `logMass` scale too. An item that every part scores 0 on a `logMass` scale has no evidence
 * and keeps 0. Fails when a part does, or when parts know different catalogues.
 */
export const make = (
  parts: ReadonlyArray<FusionPart>,
  name = parts.map(({ scorer }) => scorer.name).join("+")
): Scorer => ({
  name,
  scores: Effect.fn("ScorerFusion.scores")(function*(histories) {
    const all = yield* Effect.forEach(parts, ({ scorer }) => scorer.scores(histories), { concurrency: "unbounded" })
    const width = all[0]?.width ?? 0
    const other = all.findIndex((scores) => scores.width !== width || scores.rows !== histories.length)
    if (other >= 0 || width === 0) {
      const detail = other < 0
        ? "it has no parts"
        : `"${parts[other]!.scorer.name}" scores [${all[other]!.rows}, ${
          all[other]!.width
        }], expected [${histories.length}, ${width}]`
      return yield* new ScorerError({ scorer: name, detail })
    }
    const data = new Float64Array(histories.length * width)
    for (let row = 0; row < histories.length; row++) {
      const sum = data.subarray(row * width, (row + 1) * width)
      const known = new Uint8Array(width)
      for (const [k, { scale = usual, scorer, weight }] of parts.entries()) {
        const scores = all[k]!.data.subarray(row * width, (row + 1) * width)
        const scaled = yield* ScoreScale.apply(scorer.name, scores, scale)
        for (let item = 0; item < width; item++) {
          sum[item] = sum[item]! + weight * scaled[item]!
          if (scale.kind !== "logMass" || scores[item] !== 0) known[item] = 1
        }
      }
      let most = -Infinity
      for (let item = 0; item < width; item++) if (known[item] === 1) most = Math.max(most, sum[item]!)
      for (let item = 0; item < width; item++) {
        sum[item] = known[item] === 1
          ? Math.max(Number.MIN_VALUE, Math.exp(sum[item]! - most))
          : 0
      }
    }
    return { rows: histories.length, width, data }
  })
})
