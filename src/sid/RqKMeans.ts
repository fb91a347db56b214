/**
 * Residual k-means: each level clusters what the levels before it left over.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { TensorRuntime } from "../tensor/TensorRuntime.ts"
import * as Codes from "./Codes.ts"
import * as KMeans from "./KMeans.ts"
import * as Quantizer from "./Quantizer.ts"
import * as ResidualCodebooks from "./ResidualCodebooks.ts"

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
  /** Rows that a start chooses its centres from. @default 4096 */
  seedRows: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4096)))
}) {}

/**
 * Settings for N rows that take no longer than faiss's residual quantizer and end with no more error; a few rows per
 * centre need fewer iterations.
 */
export const fast = (rows: number): typeof RqKMeansConfig.Encoded => ({
  iterations: rows < 10_000 ? 2 : 4,
  seedRows: 1024
})

const name = "rq-kmeans"

/** The quantizer's parts for the runtime of the context. */
export const make = (config: RqKMeansConfig, shape: Quantizer.SidShape, seed: number) =>
  Effect.gen(function*() {
    const runtime = yield* TensorRuntime
    const parts = ResidualCodebooks.parts(runtime)
    return Quantizer.make({
      name,
      id: `${name}:${JSON.stringify([config, shape, seed])}`,
      ...parts,
      encode: (items, model) => {
        const codebooks = ResidualCodebooks.ofModel(model)
        return config.beams === 1 ? parts.encode(items, model) : Effect.map(
          ResidualCodebooks.checkWidth(items.embeddings, codebooks[0]!.width),
          () => ResidualCodebooks.encodeBeam(items.embeddings, codebooks, config.beams)
        )
      },
      train: Effect.fn("RqKMeans.train")(function*({ embeddings }) {
        yield* ResidualCodebooks.check(embeddings)
        const wanted = shape.codes ?? Quantizer.defaultCodes(embeddings.rows)
        const codebooks: Array<ResidualCodebooks.Codebooks[number]> = []
        const columns: Array<Int32Array> = []
        let residual = embeddings
        for (let level = 0; level < shape.levels; level++) {
          const k = Math.min(wanted, ResidualCodebooks.distinctRows(residual, wanted))
          const { centres, labels } = yield* KMeans.train(residual, k, {
            maximumIterations: config.iterations,
            tolerance: 1e-4,
            starts: config.starts ?? (k <= 64 ? 4 : 1),
            rowsPerCentre: config.rowsPerCentre,
            seedRows: config.seedRows,
            seed: seed * 31 + level
          })
          codebooks.push(centres)
          columns.push(labels)
          residual = ResidualCodebooks.subtract(residual, centres, labels)
        }
        return {
          model: ResidualCodebooks.toModel(codebooks),
          codes: config.beams === 1
            ? Codes.fromColumns(columns)
            : ResidualCodebooks.encodeBeam(embeddings, codebooks, config.beams)
        }
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
