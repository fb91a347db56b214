/**
 * Fusion of several scorers: a weighted sum of their scores on comparable scales.
 */
import * as Effect from "effect/Effect"
import { type History } from "../../catalog/History.ts"
import { type Scorer, type Scores } from "./Scorer.ts"
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

/** Scores of every part on its scale, [B, N] each, and which items any part has evidence of, [B, N]. */
interface Scaled {
  readonly rows: number
  readonly width: number
  readonly values: ReadonlyArray<Float64Array>
  readonly known: Uint8Array
}

const scaledParts = Effect.fnUntraced(
  function*(name: string, parts: ReadonlyArray<Omit<FusionPart, "weight">>, histories: ReadonlyArray<History>) {
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
    const known = new Uint8Array(histories.length * width)
    const values: Array<Float64Array> = []
    for (const [k, { scale = usual, scorer }] of parts.entries()) {
      const { data } = all[k]!
      const scaled = new Float64Array(data.length)
      for (let at = 0; at < data.length; at += width) {
        scaled.set(yield* ScoreScale.apply(scorer.name, data.subarray(at, at + width), scale), at)
      }
      for (let i = 0; i < data.length; i++) if (scale.kind !== "logMass" || data[i] !== 0) known[i] = 1
      values.push(scaled)
    }
    return { rows: histories.length, width, values, known } satisfies Scaled
  }
)

const weightedSum = ({ known, rows, values, width }: Scaled, weights: ReadonlyArray<number>): Scores => {
  const data = new Float64Array(rows * width)
  for (const [k, part] of values.entries()) {
    const weight = weights[k]!
    for (let i = 0; i < data.length; i++) data[i] = data[i]! + weight * part[i]!
  }
  for (let from = 0; from < data.length; from += width) {
    let most = -Infinity
    for (let i = from; i < from + width; i++) if (known[i] === 1) most = Math.max(most, data[i]!)
    for (let i = from; i < from + width; i++) {
      data[i] = known[i] === 1 ? Math.max(Number.MIN_VALUE, Math.exp(data[i]! - most)) : 0
    }
  }
  return { rows, width, data }
}

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
    return weightedSum(yield* scaledParts(name, parts, histories), parts.map(({ weight }) => weight))
  })
})

/**
 * Returns the scores that fusions of the same parts have after the histories, one for each list of weights, a weight per
 * part. The parts are asked once.
 */
export const scoresEach: (
  parts: ReadonlyArray<Omit<FusionPart, "weight">>,
  weights: ReadonlyArray<ReadonlyArray<number>>,
  histories: ReadonlyArray<History>
) => Effect.Effect<ReadonlyArray<Scores>, ScorerError> = Effect.fn("ScorerFusion.scoresEach")(
  function*(parts, weights, histories) {
    const name = parts.map(({ scorer }) => scorer.name).join("+")
    const scaled = yield* scaledParts(name, parts, histories)
    return weights.map((some) => weightedSum(scaled, some))
  }
)
