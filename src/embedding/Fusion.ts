/**
 * Fusion of text and co-occurrence embeddings to one embedding per item.
 *
 * Concatenation: each part is centred, rotated to its principal components, divided by the fourth root of their
 * variances (half whitening), scaled to rows of length 1, weighted, and concatenated. Canonical correlation (Hotelling
 * 1936, regularised): the most correlated directions of both parts, fitted on items that have both. Either way an item
 * without events is placed by its text alone.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Matrix from "../matrix/Matrix.ts"
import * as MlMatrix from "../matrix/MlMatrix.ts"
import * as Pca from "../matrix/Pca.ts"
import * as Safetensors from "../storage/Safetensors.ts"
import { CollaborativeConfig } from "./Collaborative.ts"

/** Settings. */
export class FusionConfig extends Schema.Class<FusionConfig>("sidereal/embedding/FusionConfig")({
  /** Method of fusion; `none` keeps the text alone. @default concat */
  kind: Schema.Literals(["none", "concat", "cca"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("concat" as const))
  ),
  /** Length of the collaborative part beside a text part of length 1. @default 1 */
  weight: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Most components of the canonical correlation. @default 96 */
  width: Schema.Int.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(96))),
  /** Share of a part's mean variance that is added to every direction before correlating. @default 0.1 */
  ridge: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.1))),
  collaborative: CollaborativeConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
}) {}

/** A fitted fusion as plain data, sufficient to place items that it was not fitted on. */
export interface FusionModel {
  /** `none` also where too few items have events. */
  readonly kind: FusionConfig["kind"]
  readonly weight: number
  /** Whitening and directions of both halves, float64. */
  readonly tensors: ReadonlyMap<string, Safetensors.StoredTensor>
}

/** A fitted fusion and the embeddings [N, D] of the items it was fitted on. */
export interface Fitted {
  readonly model: FusionModel
  readonly embeddings: Matrix.Matrix
}

/** Returns the numbers of the rows that are not zero. */
const present = (matrix: Matrix.Matrix): ReadonlyArray<number> =>
  Array.from({ length: matrix.rows }, (_, r) => r).filter((r) => Matrix.row(matrix, r).some((value) => value !== 0))

/** Principal components and the factor of each coordinate. */
interface Whitening {
  readonly pca: Pca.Axes
  readonly scales: Float64Array
}

const project = (matrix: Matrix.Matrix, { pca, scales }: Whitening): Matrix.Matrix => {
  const coordinates = Pca.project(matrix, pca)
  return { ...coordinates, data: coordinates.data.map((value, i) => value * scales[i % coordinates.width]!) }
}

/** Undefined for rows that are all zero. */
const fitHalf = (matrix: Matrix.Matrix): Whitening | undefined => {
  const known = present(matrix)
  if (known.length === 0) return undefined
  const pca = Pca.fit(Matrix.take(matrix, known), matrix.width)
  const floor = 1e-9 * (pca.variances[0] ?? 0)
  return { pca, scales: pca.variances.map((variance) => (variance > floor ? variance ** -0.25 : 0)) }
}

const applyHalf = (matrix: Matrix.Matrix, half: Whitening | undefined): Matrix.Matrix => {
  if (half === undefined) return matrix
  const rows = project(matrix, half)
  const isKnown = new Uint8Array(matrix.rows)
  for (const r of present(matrix)) isKnown[r] = 1
  return Matrix.normalizeRows({
    ...rows,
    data: rows.data.map((value, i) => (isKnown[Math.floor(i / rows.width)] === 1 ? value : 0))
  })
}

/** Half-whitens rows and scales them to length 1; rows of zeros stay zero. */
export const halfWhiten = (matrix: Matrix.Matrix): Matrix.Matrix => applyHalf(matrix, fitHalf(matrix))

const halves = ["text", "collaborative"] as const

const setWhitening = (
  tensors: Map<string, Safetensors.StoredTensor>,
  name: string,
  { pca, scales }: Whitening
): void => {
  const { components, mean } = pca
  tensors.set(`${name}.mean`, { dtype: "F64", shape: [mean.length], data: mean })
  tensors.set(`${name}.components`, {
    dtype: "F64",
    shape: [components.length, mean.length],
    data: Pca.flatten(pca)
  })
  tensors.set(`${name}.scales`, { dtype: "F64", shape: [scales.length], data: scales })
}

const whiteningOf = (tensors: FusionModel["tensors"], name: string): Whitening | undefined => {
  if (!tensors.has(`${name}.mean`)) return undefined
  const { data, shape } = Safetensors.pick(tensors, `${name}.components`, "F64", 2)
  return {
    scales: Safetensors.pick(tensors, `${name}.scales`, "F64").data,
    pca: {
      mean: Safetensors.pick(tensors, `${name}.mean`, "F64").data,
      components: Pca.componentsOf(data, shape[1]!)
    }
  }
}

const fitConcatenation = (parts: Readonly<Record<(typeof halves)[number], Matrix.Matrix>>) => {
  const tensors = new Map<string, Safetensors.StoredTensor>()
  for (const name of halves) {
    const half = fitHalf(parts[name])
    if (half !== undefined) setWhitening(tensors, name, half)
    tensors.set(`${name}.width`, {
      dtype: "I32",
      shape: [1],
      data: Int32Array.of(half?.pca.components.length ?? parts[name].width)
    })
  }
  return tensors
}

const concatenate = (
  { tensors, weight }: FusionModel,
  text: Matrix.Matrix,
  collaborative: Matrix.Matrix | undefined
): Matrix.Matrix => {
  const a = applyHalf(text, whiteningOf(tensors, "text"))
  const b = collaborative === undefined
    ? Matrix.zeros(text.rows, Safetensors.pick(tensors, "collaborative.width", "I32").data[0]!)
    : applyHalf(collaborative, whiteningOf(tensors, "collaborative"))
  const out = Matrix.zeros(a.rows, a.width + b.width)
  for (let r = 0; r < a.rows; r++) {
    out.data.set(Matrix.row(a, r), r * out.width)
    out.data.set(Matrix.row(b, r).map((value) => value * weight), r * out.width + a.width)
  }
  return Matrix.normalizeRows(out)
}

const whiten = (matrix: Matrix.Matrix, known: ReadonlyArray<number>, ridge: number): Whitening => {
  const pca = Pca.fit(Matrix.take(matrix, known), matrix.width)
  const mean = pca.variances.reduce((sum, value) => sum + value, 0) / Math.max(1, pca.variances.length)
  // Equal rows have no direction; their rounding errors must not be scaled up.
  return { pca, scales: pca.variances.map((variance) => (mean > 0 ? 1 / Math.sqrt(variance + ridge * mean) : 0)) }
}

/** Multiplies rows [B, W] by a matrix [W, R] of float64. */
const multiply = ({ data, rows, width }: Matrix.Matrix, by: Float64Array): Matrix.Matrix => {
  const rank = by.length / width
  const out = Matrix.zeros(rows, rank)
  for (let r = 0; r < rows; r++) {
    for (let w = 0; w < width; w++) {
      const value = data[r * width + w]!
      if (value === 0) continue
      for (let c = 0; c < rank; c++) out.data[r * rank + c]! += value * by[w * rank + c]!
    }
  }
  return out
}

const fitCorrelation = (
  text: Matrix.Matrix,
  collaborative: Matrix.Matrix,
  known: ReadonlyArray<number>,
  { ridge, width }: FusionConfig
) => {
  const [left, right] = [whiten(text, known, ridge), whiten(collaborative, known, ridge)]
  const [a, b] = [project(text, left), project(collaborative, right)]
  const { Matrix: Dense, SingularValueDecomposition } = MlMatrix.library()
  const cross = Dense.zeros(a.width, b.width)
  for (const r of known) {
    const [x, y] = [Matrix.row(a, r), Matrix.row(b, r)]
    for (let i = 0; i < x.length; i++) {
      for (let j = 0; j < y.length; j++) cross.set(i, j, cross.get(i, j) + x[i]! * y[j]! / known.length)
    }
  }
  const { diagonal, leftSingularVectors, rightSingularVectors } = new SingularValueDecomposition(cross, {
    autoTranspose: true
  })
  const rank = Math.min(width, diagonal.length)
  const tensors = new Map<string, Safetensors.StoredTensor>()
  const set = (name: string, half: Whitening, vectors: MlMatrix.Dense) => {
    const directions = vectors.subMatrix(0, vectors.rows - 1, 0, rank - 1)
    for (let c = 0; c < rank; c++) directions.mulColumn(c, Math.sqrt(diagonal[c]!))
    setWhitening(tensors, name, half)
    tensors.set(`${name}.directions`, {
      dtype: "F64",
      shape: [vectors.rows, rank],
      data: Float64Array.from(directions.to1DArray())
    })
  }
  set("text", left, leftSingularVectors)
  set("collaborative", right, rightSingularVectors)
  return tensors
}

const correlate = (
  { tensors, weight }: FusionModel,
  text: Matrix.Matrix,
  collaborative: Matrix.Matrix | undefined
): Matrix.Matrix => {
  const along = (matrix: Matrix.Matrix, name: string) =>
    multiply(
      project(matrix, whiteningOf(tensors, name)!),
      Safetensors.pick(tensors, `${name}.directions`, "F64", 2).data
    )
  const x = along(text, "text")
  if (collaborative === undefined) return Matrix.normalizeRows(x)
  const y = along(collaborative, "collaborative")
  const both = new Uint8Array(text.rows)
  for (const r of present(collaborative)) both[r] = 1
  return Matrix.normalizeRows({
    ...x,
    data: x.data.map((value, i) =>
      both[Math.floor(i / x.width)] === 1 ? (value + weight * y.data[i]!) / (1 + weight) : value
    )
  })
}

/** Fits a fusion of text and collaborative rows [N, D] of the same items. */
export const fit = (text: Matrix.Matrix, collaborative: Matrix.Matrix, config: FusionConfig): Fitted => {
  const known = present(collaborative)
  const kind = known.length < 2 ? "none" : config.kind
  const tensors = kind === "concat"
    ? fitConcatenation({ text, collaborative })
    : kind === "cca"
    ? fitCorrelation(text, collaborative, known, config)
    : new Map<string, Safetensors.StoredTensor>()
  const model: FusionModel = { kind, weight: config.weight, tensors }
  return { model, embeddings: place(model, text, collaborative) }
}

/**
 * Returns fused embeddings [B, D] of items, fitted on or new. Without collaborative rows every item is placed by its
 * text alone, as an item without events is.
 */
export const place = (model: FusionModel, text: Matrix.Matrix, collaborative?: Matrix.Matrix): Matrix.Matrix =>
  model.kind === "none"
    ? text
    : model.kind === "concat"
    ? concatenate(model, text, collaborative)
    : correlate(model, text, collaborative)
