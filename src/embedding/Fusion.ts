/**
 * One embedding of what an item says and of what it is bought with.
 *
 * Concatenation: each part is centred, turned to its principal components, divided by the fourth root of their variances
 * (half whitening), scaled to rows of length 1, weighted, and the parts stand side by side. Canonical correlation
 * (Hotelling 1936, regularised): the directions of both parts that agree most, found on items that have both; an item
 * without events is placed by its text alone.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Matrix as Dense, SingularValueDecomposition } from "ml-matrix"
import * as Matrix from "../matrix/Matrix.ts"
import * as Pca from "../matrix/Pca.ts"
import { CollaborativeConfig } from "./Collaborative.ts"

/** Settings. */
export class FusionConfig extends Schema.Class<FusionConfig>("sidereal/embedding/FusionConfig")({
  /** @default concat */
  kind: Schema.Literals(["none", "concat", "cca"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("concat" as const))
  ),
  /** Length of the collaborative part beside a text part of length 1. @default 1 */
  weight: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Components of the canonical correlation, at most. @default 96 */
  width: Schema.Int.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(96))),
  /** Share of a part's mean variance that is added to every direction before correlating. @default 0.1 */
  ridge: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.1))),
  collaborative: CollaborativeConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
}) {}

/** Rows that are not zero. */
const present = (matrix: Matrix.Matrix): ReadonlyArray<number> =>
  Array.from({ length: matrix.rows }, (_, r) => r).filter((r) => Matrix.row(matrix, r).some((value) => value !== 0))

/** Half-whitened rows of length 1; rows of zeros, which know nothing, stay zero. */
export const halfWhiten = (matrix: Matrix.Matrix): Matrix.Matrix => {
  const known = present(matrix)
  if (known.length === 0) return matrix
  const pca = Pca.fit(Matrix.take(matrix, known), matrix.width)
  const coordinates = Pca.project(matrix, pca)
  const floor = 1e-9 * (pca.variances[0] ?? 0)
  const scales = pca.variances.map((variance) => (variance > floor ? variance ** -0.25 : 0))
  const isKnown = new Uint8Array(matrix.rows)
  for (const r of known) isKnown[r] = 1
  return Matrix.normalizeRows({
    ...coordinates,
    data: coordinates.data.map((value, i) =>
      isKnown[Math.floor(i / coordinates.width)] === 1 ? value * scales[i % coordinates.width]! : 0
    )
  })
}

/** The parts side by side. */
export const concatenate = (text: Matrix.Matrix, collaborative: Matrix.Matrix, weight: number): Matrix.Matrix => {
  const [a, b] = [halfWhiten(text), halfWhiten(collaborative)]
  const out = Matrix.zeros(a.rows, a.width + b.width)
  for (let r = 0; r < a.rows; r++) {
    out.data.set(Matrix.row(a, r), r * out.width)
    out.data.set(Matrix.row(b, r).map((value) => value * weight), r * out.width + a.width)
  }
  return Matrix.normalizeRows(out)
}

interface Whitened {
  readonly pca: Pca.Pca
  readonly scales: Float64Array
  readonly rows: Matrix.Matrix
}

const whiten = (matrix: Matrix.Matrix, known: ReadonlyArray<number>, ridge: number): Whitened => {
  const pca = Pca.fit(Matrix.take(matrix, known), matrix.width)
  const mean = pca.variances.reduce((sum, value) => sum + value, 0) / Math.max(1, pca.variances.length)
  // Rows that are all the same have no direction; what rounding makes of them must not be blown up.
  const scales = pca.variances.map((variance) => (mean > 0 ? 1 / Math.sqrt(variance + ridge * mean) : 0))
  const coordinates = Pca.project(matrix, pca)
  return {
    pca,
    scales,
    rows: { ...coordinates, data: coordinates.data.map((value, i) => value * scales[i % coordinates.width]!) }
  }
}

/** Rows times a matrix [W, R]. */
const multiply = ({ data, rows, width }: Matrix.Matrix, by: Dense): Matrix.Matrix => {
  const out = Matrix.zeros(rows, by.columns)
  for (let r = 0; r < rows; r++) {
    for (let w = 0; w < width; w++) {
      const value = data[r * width + w]!
      if (value === 0) continue
      for (let c = 0; c < by.columns; c++) out.data[r * by.columns + c]! += value * by.get(w, c)
    }
  }
  return out
}

/** The mean of both parts in the directions that agree, each weighted by its correlation. */
export const correlate = (
  text: Matrix.Matrix,
  collaborative: Matrix.Matrix,
  { ridge, weight, width }: FusionConfig
): Matrix.Matrix => {
  const known = present(collaborative)
  const [a, b] = [whiten(text, known, ridge), whiten(collaborative, known, ridge)]
  const cross = Dense.zeros(a.rows.width, b.rows.width)
  for (const r of known) {
    const [x, y] = [Matrix.row(a.rows, r), Matrix.row(b.rows, r)]
    for (let i = 0; i < x.length; i++) {
      for (let j = 0; j < y.length; j++) cross.set(i, j, cross.get(i, j) + x[i]! * y[j]! / known.length)
    }
  }
  const { diagonal, leftSingularVectors, rightSingularVectors } = new SingularValueDecomposition(cross, {
    autoTranspose: true
  })
  const rank = Math.min(width, diagonal.length)
  const directions = (vectors: Dense) => {
    const out = vectors.subMatrix(0, vectors.rows - 1, 0, rank - 1)
    for (let c = 0; c < rank; c++) out.mulColumn(c, Math.sqrt(diagonal[c]!))
    return out
  }
  const [x, y] = [multiply(a.rows, directions(leftSingularVectors)), multiply(b.rows, directions(rightSingularVectors))]
  const both = new Uint8Array(text.rows)
  for (const r of known) both[r] = 1
  return Matrix.normalizeRows({
    ...x,
    data: x.data.map((value, i) =>
      both[Math.floor(i / rank)] === 1 ? (value + weight * y.data[i]!) / (1 + weight) : value
    )
  })
}

/** Both parts as one, [N, D]. */
export const fuse = (text: Matrix.Matrix, collaborative: Matrix.Matrix, config: FusionConfig): Matrix.Matrix =>
  config.kind === "none" || present(collaborative).length < 2
    ? text
    : config.kind === "concat"
    ? concatenate(text, collaborative, config.weight)
    : correlate(text, collaborative, config)
