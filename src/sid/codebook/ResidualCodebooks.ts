/**
 * One codebook per level, each fitted to the residuals of the previous levels: the model of RQ-KMeans and of every
 * quantizer that decodes codes to sums of vectors.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Matrix from "../../matrix/Matrix.ts"
import { Progress } from "../../run/Progress.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as KMeans from "../clustering/KMeans.ts"
import * as SquaredDistances from "../clustering/SquaredDistances.ts"
import * as Codes from "../Codes.ts"
import { type Items, make, type Model, Quantizer } from "../Quantizer.ts"
import { BadEmbedding, SidError, TooFewItems, WrongWidth } from "../SidError.ts"

/** One matrix [K, D] per level. */
export type Codebooks = ReadonlyArray<Matrix.Matrix>

const nameOf = (level: number) => `codebook_${level}`

/** Builds a model from codebooks. */
export const toModel = (codebooks: Codebooks): Model => ({
  codebookSizes: codebooks.map(({ rows }) => rows),
  tensors: new Map(codebooks.map(({ data, rows, width }, level) => [nameOf(level), { shape: [rows, width], data }]))
})

/** Reads the codebooks of a model. */
export const ofModel = ({ codebookSizes, tensors }: Model): Codebooks =>
  codebookSizes.map((_, level) => {
    const { data, shape: [rows, width] } = tensors.get(nameOf(level))!
    return { rows: rows!, width: width!, data }
  })

/** Fails unless there are at least two rows, all finite. */
export const check = (embeddings: Matrix.Matrix): Effect.Effect<void, SidError> =>
  embeddings.rows < 2
    ? Effect.fail(new SidError({ reason: new TooFewItems({ items: embeddings.rows }) }))
    : checkFinite(embeddings)

/** Fails with `BadEmbedding` unless every component is finite. */
export const checkFinite = (embeddings: Matrix.Matrix): Effect.Effect<void, SidError> => {
  const bad = Matrix.findNonFinite(embeddings)
  return bad === undefined
    ? Effect.void
    : Effect.fail(
      new SidError({ reason: new BadEmbedding({ row: bad.row, component: bad.component, value: String(bad.value) }) })
    )
}

/** Fails unless rows are finite and as wide as those the model was trained on. */
export const checkWidth = (embeddings: Matrix.Matrix, width: number): Effect.Effect<void, SidError> =>
  embeddings.width === width
    ? checkFinite(embeddings)
    : Effect.fail(new SidError({ reason: new WrongWidth({ expected: width, actual: embeddings.width }) }))

const subtractFrom = (
  { data, rows, width }: Matrix.Matrix,
  { data: from }: Matrix.Matrix,
  label: (row: number) => number
): void => {
  for (let r = 0, at = 0; r < rows; r++, at += width) {
    const own = label(r)
    if (own < 0) continue
    const centre = own * width
    for (let d = 0; d < width; d++) data[at + d]! -= from[centre + d]!
  }
}

/** Subtracts from each row its centre; a label below 0 subtracts nothing. */
export const subtract = (
  rows: Matrix.Matrix,
  centres: Matrix.Matrix,
  labels: ArrayLike<number>
): Matrix.Matrix => {
  const left = { ...rows, data: rows.data.slice() }
  subtractFrom(left, centres, (row) => labels[row]!)
  return left
}

/** Returns the codes [N] of one level. */
export const column = ({ codes, levels }: Codes.Codes, level: number): Int32Array =>
  Int32Array.from({ length: codes.length / levels }, (_, row) => codes[row * levels + level]!)

/** Returns the residuals [N, D] of rows at `level`, before its own codes are subtracted. */
export const residual = (
  embeddings: Matrix.Matrix,
  { codes, levels }: Codes.Codes,
  level: number,
  codebooks: Codebooks
): Matrix.Matrix => {
  if (level === 0) return embeddings
  const left = { ...embeddings, data: embeddings.data.slice() }
  for (let l = 0; l < level; l++) subtractFrom(left, codebooks[l]!, (row) => codes[row * levels + l]!)
  return left
}

/** Encodes rows greedily: at each level the centre nearest to the residual. */
export const encode: (
  assign: KMeans.Assign,
  embeddings: Matrix.Matrix,
  codebooks: Codebooks
) => Effect.Effect<Codes.Codes, TensorError> = Effect.fn("ResidualCodebooks.encode")(
  function*(assign, embeddings, codebooks) {
    const levels = codebooks.length
    const codes = new Int32Array(embeddings.rows * levels)
    let left = embeddings
    for (const [level, centres] of codebooks.entries()) {
      const { labels } = yield* assign(left, centres)
      for (let r = 0; r < embeddings.rows; r++) codes[r * levels + level] = labels[r]!
      if (level + 1 < levels) left = subtract(left, centres, labels)
    }
    return { levels, codes }
  }
)

/**
 * Encodes rows by beam search: the `beams` prefixes of least squared residual are kept per row and level, as in faiss's
 * residual quantizer. One beam is greedy; more lower the error at `beams` times the cost.
 */
export const encodeBeam = (embeddings: Matrix.Matrix, codebooks: Codebooks, beams: number): Codes.Codes => {
  const { rows, width } = embeddings
  const levels = codebooks.length
  const codes = new Int32Array(rows * levels)
  const lengths = codebooks.map(({ data, rows: K }) =>
    Float64Array.from({ length: K }, (_, k) => {
      let sum = 0
      for (let d = k * width; d < (k + 1) * width; d++) sum += data[d]! ** 2
      return sum
    })
  )
  interface Prefix {
    readonly path: ReadonlyArray<number>
    readonly rest: Float64Array
    readonly cost: number
  }
  for (let r = 0; r < rows; r++) {
    const start = Float64Array.from(Matrix.row(embeddings, r))
    let kept: ReadonlyArray<Prefix> = [{ path: [], rest: start, cost: start.reduce((sum, x) => sum + x * x, 0) }]
    for (const [level, { data, rows: K }] of codebooks.entries()) {
      const best: Array<{ readonly from: Prefix; readonly code: number; readonly cost: number }> = []
      for (const from of kept) {
        for (let code = 0; code < K; code++) {
          let dot = 0
          for (let d = 0; d < width; d++) dot += from.rest[d]! * data[code * width + d]!
          const cost = from.cost - 2 * dot + lengths[level]![code]!
          if (best.length === beams && cost >= best.at(-1)!.cost) continue
          let at = best.length
          while (at > 0 && best[at - 1]!.cost > cost) at--
          best.splice(at, 0, { from, code, cost })
          if (best.length > beams) best.pop()
        }
      }
      kept = best.map(({ code, cost, from }) => ({
        path: [...from.path, code],
        rest: from.rest.map((x, d) => x - data[code * width + d]!),
        cost
      }))
    }
    codes.set(kept[0]!.path, r * levels)
  }
  return { levels, codes }
}

/** Decodes codes to the sum of their centres over the levels, [N, D]. */
export const decode = ({ codes, levels }: Codes.Codes, codebooks: Codebooks): Matrix.Matrix => {
  const width = codebooks[0]!.width
  const rows = codes.length / levels
  const out = Matrix.zeros(rows, width)
  for (let r = 0; r < rows; r++) {
    for (let l = 0; l < levels && codes[r * levels + l]! >= 0; l++) {
      const from = codes[r * levels + l]! * width
      for (let d = 0; d < width; d++) out.data[r * width + d] = out.data[r * width + d]! + codebooks[l]!.data[from + d]!
    }
  }
  return out
}

/** Returns the column of the least distance of each row; ties go to the lowest. */
export const nearest = ({ data, rows, width }: Matrix.Matrix): Int32Array =>
  Int32Array.from({ length: rows }, (_, r) => {
    let best = 0
    for (let k = 1; k < width; k++) if (data[r * width + k]! < data[r * width + best]!) best = k
    return best
  })

/**
 * Fits the codebooks that decode given codes best, level by level: the mean residual of the items with a code. A code that
 * no item has decodes to zero.
 */
export const ofCodes = (
  embeddings: Matrix.Matrix,
  codes: Codes.Codes,
  codebookSizes: ReadonlyArray<number>
): Codebooks => {
  const { width } = embeddings
  const codebooks: Array<Matrix.Matrix> = []
  let left = embeddings
  for (const [level, size] of codebookSizes.entries()) {
    const labels = column(codes, level)
    const sums = new Float64Array(size * width)
    const counts = new Float64Array(size)
    for (let r = 0; r < left.rows; r++) {
      const label = labels[r]!
      if (label < 0) continue
      counts[label]!++
      for (let d = 0; d < width; d++) {
        sums[label * width + d] = sums[label * width + d]! + left.data[r * width + d]!
      }
    }
    const centres: Matrix.Matrix = {
      rows: size,
      width,
      data: Float32Array.from(sums, (sum, i) => sum / Math.max(1, counts[Math.floor(i / width)]!))
    }
    codebooks.push(centres)
    left = subtract(left, centres, labels)
  }
  return codebooks
}

/** Counts distinct rows, up to `limit`. */
export const distinctRows = (rows: Matrix.Matrix, limit: number): number => {
  const seen = new Set<string>()
  for (let r = 0; r < rows.rows && seen.size < limit; r++) {
    const values = Matrix.row(rows, r)
    seen.add(Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("latin1"))
  }
  return seen.size
}

/** Pads a codebook to K rows by repeating its centres in order. */
export const pad = (centres: Matrix.Matrix, codes: number): Matrix.Matrix =>
  centres.rows >= codes
    ? centres
    : Matrix.take(centres, Int32Array.from({ length: codes }, (_, code) => code % centres.rows))

/** Centres [K, D] of one level, and the label of each row. */
export interface Level {
  readonly centres: Matrix.Matrix
  readonly labels: Int32Array
}

/** Codebooks and the codes of the rows they were fitted to. */
export interface Found {
  readonly codebooks: Codebooks
  readonly codes: Codes.Codes
}

/** Fits one codebook per level on the residuals of the previous levels; `name` labels the progress line. */
export const trainLevels = Effect.fnUntraced(function*<E, R>(
  name: string,
  embeddings: Matrix.Matrix,
  levels: number,
  find: (residual: Matrix.Matrix, level: number) => Effect.Effect<Level, E, R>
) {
  const codebooks: Array<Matrix.Matrix> = []
  const columns: Array<Int32Array> = []
  const tracker = (yield* Progress).start(name, levels, "levels")
  let left = embeddings
  for (let level = 0; level < levels; level++) {
    const { centres, labels } = yield* find(left, level)
    codebooks.push(centres)
    columns.push(labels)
    if (level + 1 < levels) {
      // The embeddings stay as they are; later levels take theirs from the copy that the first one made.
      const { data, rows, width } = left
      left = { rows, width, data: level === 0 ? data.slice() : data }
      subtractFrom(left, centres, (row) => labels[row]!)
    }
    tracker.update(level + 1)
  }
  tracker.finish()
  return { codebooks, codes: Codes.fromColumns(columns) } satisfies Found as Found
})

type Failure = SidError | TensorError

/** Parts of a quantizer over residual codebooks. */
export interface ResidualQuantizer {
  readonly name: string
  /** Everything besides the items that changes its codes: settings, shape, seed. */
  readonly settings: unknown
  readonly train: (items: Items) => Effect.Effect<Found, Failure, TensorRuntime | Progress | Scope.Scope>
  /** Encodes rows. @default greedily */
  readonly encode?: ((embeddings: Matrix.Matrix, codebooks: Codebooks) => Codes.Codes) | undefined
}

/** Provides a quantizer whose model is residual codebooks. */
export const layer = (
  { encode: own, name, settings, train }: ResidualQuantizer
): Layer.Layer<Quantizer, never, TensorRuntime | Progress> =>
  Layer.effect(
    Quantizer,
    Effect.gen(function*() {
      const services = yield* Effect.context<TensorRuntime | Progress>()
      const scope = yield* Effect.scope
      const distances = yield* Effect.cached(
        SquaredDistances.engine.pipe(Scope.provide(scope), Effect.provideContext(services))
      )
      const within = <A, E>(effect: Effect.Effect<A, E, TensorRuntime | Progress | Scope.Scope>) =>
        effect.pipe(Effect.scoped, Effect.provideContext(services))
      return make({
        name,
        id: `${name}:${JSON.stringify(settings)}`,
        train: Effect.fn("ResidualCodebooks.train")(function*(items) {
          yield* check(items.embeddings)
          const { codebooks, codes } = yield* train(items)
          return { codes, model: toModel(codebooks) }
        }, within),
        encode: Effect.fn("ResidualCodebooks.encode")(function*({ embeddings }, model) {
          const codebooks = ofModel(model)
          yield* checkWidth(embeddings, codebooks[0]!.width)
          if (own !== undefined) return own(embeddings, codebooks)
          return yield* encode(yield* KMeans.assigner, embeddings, codebooks)
        }, within),
        decode: (codes, model) => Effect.succeed(decode(codes, ofModel(model))),
        distances: Effect.fn("ResidualCodebooks.distances")(function*({ embeddings }, codes, level, model) {
          const codebooks = ofModel(model)
          const [left, centres] = [residual(embeddings, codes, level, codebooks), codebooks[level]!]
          const found = yield* (yield* distances)(left, centres)
          // The distance to an item's own code says who of those that collide stays, and among items alike that must not
          // hang on how a product is rounded.
          for (let r = 0; r < left.rows; r++) {
            const own = codes.codes[r * codes.levels + level]!
            if (own >= 0) found.data[r * found.width + own] = SquaredDistances.between(left, r, centres, own)
          }
          return found
        })
      })
    })
  )
