/**
 * Residual k-means: each level clusters what the levels before it left over.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { TensorRuntime } from "../tensor/TensorRuntime.ts"
import * as KMeans from "./KMeans.ts"
import * as Quantizer from "./Quantizer.ts"
import * as ResidualCodebooks from "./ResidualCodebooks.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class RqKMeansConfig extends Schema.Class<RqKMeansConfig>("sidereal/sid/RqKMeansConfig")({
  /** @default 40 */
  iterations: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(40))),
  /** k-means++ starts per level. @default 2 */
  starts: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2)))
}) {}

const name = "rq-kmeans"

const make = (config: RqKMeansConfig, shape: Quantizer.SidShape, seed: number) =>
  Effect.gen(function*() {
    const runtime = yield* TensorRuntime
    return Quantizer.make({
      name,
      id: `${name}:${JSON.stringify([config, shape, seed])}`,
      ...ResidualCodebooks.parts(runtime),
      train: Effect.fn("RqKMeans.train")(function*({ embeddings }) {
        yield* ResidualCodebooks.check(embeddings)
        const assign = yield* KMeans.assigner
        const wanted = shape.codes ?? Quantizer.defaultCodes(embeddings.rows)
        const codebooks: Array<ResidualCodebooks.Codebooks[number]> = []
        const columns: Array<Int32Array> = []
        let residual = embeddings
        for (let level = 0; level < shape.levels; level++) {
          const k = Math.min(wanted, ResidualCodebooks.distinctRows(residual, wanted))
          const { centres, labels } = yield* KMeans.train(assign, residual, k, {
            maximumIterations: config.iterations,
            tolerance: 1e-4,
            starts: config.starts,
            seed: seed * 31 + level
          })
          codebooks.push(centres)
          columns.push(labels)
          residual = ResidualCodebooks.subtract(residual, centres, labels)
        }
        return { model: ResidualCodebooks.toModel(codebooks), codes: Quantizer.fromColumns(columns) }
      }, (effect) => effect.pipe(Effect.scoped, Effect.provideService(TensorRuntime, runtime)))
    })
  })

/** The quantizer. K is lowered to the number of distinct rows where a level has fewer. */
export const layer = (
  config: RqKMeansConfig,
  shape: Quantizer.SidShape,
  seed: number
): Layer.Layer<Quantizer.Quantizer, never, TensorRuntime> =>
  Layer.effect(Quantizer.Quantizer, make(config, shape, seed))
