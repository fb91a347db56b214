/**
 * Residual k-means: each level clusters the residuals of the previous levels.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type Matrix } from "../../matrix/Matrix.ts"
import { type Progress } from "../../run/Progress.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as KMeans from "../clustering/KMeans.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import * as Quantizer from "../Quantizer.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class RqKMeansConfig extends Schema.Class<RqKMeansConfig>("sidereal/sid/RqKMeansConfig")({
  /** Most iterations per level. @default 25 */
  iterations: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(25))),
  /** k-means++ starts per level. @default 1, and 4 for up to 64 codes, where starts differ more and cost less */
  starts: Schema.optionalKey(Count),
  /** Prefixes of a row kept while it is encoded; 1 is greedy. @default 1 */
  beams: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Rows per centre that the iterations see; the codes of all rows are nearest ones. @default 256 */
  rowsPerCentre: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(256))),
  /** Rows of a mini-batch: one pass over all rows follows where the iterations see a part of them. 0: no pass. @default 4096 */
  miniBatch: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(4096))
  ),
  /** Rows that a start chooses its centres from. @default 4096 */
  seedRows: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4096)))
}) {}

/**
 * Returns settings for N rows that take no longer than faiss's residual quantizer at no more error; a few rows per centre
 * need fewer iterations.
 */
export const fast = (rows: number): typeof RqKMeansConfig.Encoded => ({
  iterations: rows < 10_000 ? 2 : 4,
  miniBatch: 0,
  seedRows: 1024
})

/** Fits codebooks to embeddings. Where a level has fewer distinct rows than codes, the codes beyond them are padding. */
export const train = (
  config: RqKMeansConfig,
  shape: Quantizer.SidShape,
  embeddings: Matrix,
  seed: number
): Effect.Effect<ResidualCodebooks.Found, TensorError, TensorRuntime | Progress | Scope.Scope> => {
  const wanted = Quantizer.codesFor(shape, embeddings.rows)
  return ResidualCodebooks.trainLevels("rq-kmeans", embeddings, shape.levels, (residual, level) => {
    const k = Math.min(wanted, ResidualCodebooks.distinctRows(residual, wanted))
    return KMeans.train(residual, k, {
      maximumIterations: config.iterations,
      tolerance: 1e-4,
      starts: config.starts ?? (k <= 64 ? 4 : 1),
      rowsPerCentre: config.rowsPerCentre,
      seedRows: config.seedRows,
      miniBatch: config.miniBatch,
      seed: seed * 31 + level
    }).pipe(Effect.map(({ centres, labels }) => ({ labels, centres: ResidualCodebooks.pad(centres, wanted) })))
  })
}

/**
 * Provides the quantizer.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Schema from "effect/Schema"
 * import * as assert from "node:assert/strict"
 * import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
 * import { Progress } from "sidereal/run/Progress"
 * import { itemsOf, Quantizer, SidShape } from "sidereal/sid/Quantizer"
 * import * as RqKMeans from "sidereal/sid/quantizer/RqKMeans"
 *
 * const config = Schema.decodeSync(RqKMeans.RqKMeansConfig)({})
 * const shape = Schema.decodeSync(SidShape)({ levels: 2, codes: 4 })
 * const items = itemsOf({ rows: 40, width: 3, data: Float32Array.from({ length: 120 }, (_, i) => Math.sin(i * i)) })
 *
 * const program = Effect.gen(function*() {
 *   const quantizer = yield* Quantizer
 *   const trained = yield* quantizer.train(items)
 *   return yield* quantizer.diagnose(items, trained)
 * })
 * const services = Layer.merge(OnnxRuntime.layerCpu(), Progress.layerSilent)
 * const diagnosis = await Effect.runPromise(
 *   program.pipe(Effect.provide(RqKMeans.layer(config, shape, 1).pipe(Layer.provide(services))))
 * )
 * assert.equal(diagnosis.items, 40)
 * assert.ok(diagnosis.varianceLeft < 0.2)
 * ```
 */
export const layer = (
  config: RqKMeansConfig,
  shape: Quantizer.SidShape,
  seed: number
): Layer.Layer<Quantizer.Quantizer, never, TensorRuntime | Progress> => {
  const byBeam = (embeddings: Matrix, codebooks: ResidualCodebooks.Codebooks) =>
    ResidualCodebooks.encodeBeam(embeddings, codebooks, config.beams)
  const found = ({ embeddings }: Quantizer.Items) => train(config, shape, embeddings, seed)
  return ResidualCodebooks.layer({
    name: "rq-kmeans",
    settings: [config, shape, seed],
    ...(config.beams === 1 ? { train: found } : {
      encode: byBeam,
      train: (items) =>
        Effect.map(found(items), ({ codebooks }) => ({ codebooks, codes: byBeam(items.embeddings, codebooks) }))
    })
  })
}
