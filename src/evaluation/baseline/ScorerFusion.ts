/**
 * Fusion of several scorers: a weighted sum of their scores on comparable scales.
 */
import * as Effect from "effect/Effect"
import { type Scorer } from "./Scorer.ts"
import { ScorerError } from "./ScorerError.ts"
import * as ScoreScale from "./ScoreScale.ts"

/** Scorer of a fusion with its weight and scale. */
export interface FusionPart {
  readonly scorer: Scorer
  /** Factor of its scores in the sum. */
  readonly weight: number
  /** Scale of its scores. @default logMass */
  readonly scale?: ScoreScale.ScoreScale | undefined
}

const usual: ScoreScale.ScoreScale = { kind: "logMass" }

/**
 * Makes a scorer whose scores are `exp(sum_k weight_k f_k)`, with f_k the scores of part k on its scale, scaled so that
 * the best item of a history has 1: a product of experts (Hinton 2002). Its order is that of the sum. It is never
 * negative and therefore a mass for `ScorerPrior` and for the `logMass` scale. An item that every part scores 0 on a
 * `logMass` scale has no evidence and the score 0. Fails if a part fails or if the parts have catalogues of different
 * sizes.
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
