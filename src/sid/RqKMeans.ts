/**
 * Residual k-means: each level clusters what the levels before it left over.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Matrix from "../embedding/Matrix.ts"
import { TensorRuntime } from "../tensor/TensorRuntime.ts"
import * as KMeans from "./KMeans.ts"
import { type Codebooks, type Codes, Quantizer } from "./Quantizer.ts"
import { BadEmbedding, SidError, TooFewItems } from "./SidError.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings. */
export class RqKMeansConfig extends Schema.Class<RqKMeansConfig>("sidereal/sid/RqKMeansConfig")({
  /** L. @default 3 */
  levels: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(3))),
  /** K of every level; by default chosen from the catalogue's size. */
  codes: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(1))),
  /** @default 40 */
  iterations: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(40))),
  /** k-means++ starts per level. @default 2 */
  starts: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2)))
}) {}

/**
 * K for N items: the power of two nearest to `sqrt(N) * 2`, between 16 and 256. 1,200 items get 64, 4,344 get 128 and
 * 12,101 get 256; three levels then leave few collisions.
 */
export const defaultCodes = (items: number): number =>
  Math.min(256, Math.max(16, 2 ** Math.round(Math.log2(2 * Math.sqrt(items)))))

/** Distinct rows, counted up to `limit`. */
const distinctRows = (rows: Matrix.Matrix, limit: number): number => {
  const seen = new Set<string>()
  for (let r = 0; r < rows.rows && seen.size < limit; r++) {
    const values = Matrix.row(rows, r)
    seen.add(Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("latin1"))
  }
  return seen.size
}

const subtract = (rows: Matrix.Matrix, centres: Matrix.Matrix, labels: Int32Array): Matrix.Matrix => {
  const data = rows.data.slice()
  for (let r = 0; r < rows.rows; r++) {
    const centre = labels[r]! * rows.width
    for (let d = 0; d < rows.width; d++) {
      data[r * rows.width + d] = data[r * rows.width + d]! - centres.data[centre + d]!
    }
  }
  return { ...rows, data }
}

/** At least two rows, every component finite. */
export const check = (embeddings: Matrix.Matrix): Effect.Effect<void, SidError> => {
  if (embeddings.rows < 2) return Effect.fail(new SidError({ reason: new TooFewItems({ items: embeddings.rows }) }))
  const bad = Matrix.findNonFinite(embeddings)
  return bad === undefined
    ? Effect.void
    : Effect.fail(
      new SidError({ reason: new BadEmbedding({ row: bad.row, component: bad.component, value: String(bad.value) }) })
    )
}

/** The sum of the chosen centres of every level. */
export const decode = ({ codes, levels }: Codes, codebooks: Codebooks): Matrix.Matrix => {
  const width = codebooks[0]!.width
  const rows = codes.length / levels
  const out = Matrix.zeros(rows, width)
  for (let r = 0; r < rows; r++) {
    for (let l = 0; l < levels; l++) {
      const from = codes[r * levels + l]! * width
      for (let d = 0; d < width; d++) out.data[r * width + d] = out.data[r * width + d]! + codebooks[l]!.data[from + d]!
    }
  }
  return out
}

const make = (config: RqKMeansConfig, seed: number) =>
  Effect.gen(function*() {
    const runtime = yield* TensorRuntime
    const withAssigner = <A, E>(use: (assign: KMeans.Assign) => Effect.Effect<A, E>) =>
      KMeans.assigner.pipe(Effect.flatMap(use), Effect.scoped, Effect.provideService(TensorRuntime, runtime))
    return Quantizer.of({
      id: `rq-kmeans:${JSON.stringify(config)}:${seed}`,
      train: Effect.fn("RqKMeans.train")(function*(embeddings) {
        yield* check(embeddings)
        return yield* withAssigner(Effect.fnUntraced(function*(assign) {
          const wanted = config.codes ?? defaultCodes(embeddings.rows)
          const codebooks: Array<Matrix.Matrix> = []
          let residual = embeddings
          for (let level = 0; level < config.levels; level++) {
            const k = Math.min(wanted, distinctRows(residual, wanted))
            const { centres, labels } = yield* KMeans.train(assign, residual, k, {
              maximumIterations: config.iterations,
              tolerance: 1e-4,
              starts: config.starts,
              seed: seed * 31 + level
            })
            codebooks.push(centres)
            residual = subtract(residual, centres, labels)
          }
          return codebooks
        }))
      }),
      encode: Effect.fn("RqKMeans.encode")(function*(embeddings, codebooks) {
        const bad = Matrix.findNonFinite(embeddings)
        if (bad !== undefined) yield* check(embeddings)
        return yield* withAssigner((assign) => encode(assign, embeddings, codebooks))
      }),
      decode
    })
  })

/** Greedy codes: at each level the centre nearest to what is left. */
export const encode = Effect.fn("RqKMeans.encodeWith")(function*(
  assign: KMeans.Assign,
  embeddings: Matrix.Matrix,
  codebooks: Codebooks
) {
  const levels = codebooks.length
  const codes = new Int32Array(embeddings.rows * levels)
  let residual = embeddings
  for (const [level, centres] of codebooks.entries()) {
    const { labels } = yield* assign(residual, centres)
    for (let r = 0; r < embeddings.rows; r++) codes[r * levels + level] = labels[r]!
    residual = subtract(residual, centres, labels)
  }
  return { levels, codes }
})

/** The quantizer. K is lowered to the number of distinct rows where a level has fewer. */
export const layer = (config: RqKMeansConfig, seed: number): Layer.Layer<Quantizer, never, TensorRuntime> =>
  Layer.effect(Quantizer, make(config, seed))
