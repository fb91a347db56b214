/**
 * The leading singular triples of a sparse matrix by randomized subspace iteration (Halko, Martinsson and Tropp 2011),
 * in float64 and deterministic for a seed.
 */
import * as Effect from "effect/Effect"
import { Progress } from "../run/Progress.ts"
import * as Random from "../statistics/Random.ts"

/** Sparse matrix in compressed rows: entries of row r are `start[r] .. start[r + 1] - 1`. */
export interface SparseMatrix {
  readonly rows: number
  readonly columns: number
  readonly start: Int32Array
  readonly column: Int32Array
  readonly value: Float64Array
}

/** Builder of a sparse matrix, entry by entry in the order of the rows. */
export interface Builder {
  add(column: number, value: number): void
  endRow(): void
  finish(columns: number): SparseMatrix
}

/** Starts an empty matrix. */
export const builder = (): Builder => {
  const start = [0]
  let column = new Int32Array(1024)
  let value = new Float64Array(1024)
  let length = 0
  return {
    add: (at, entry) => {
      if (length === column.length) {
        const [columns, values] = [column, value]
        column = new Int32Array(2 * length)
        column.set(columns)
        value = new Float64Array(2 * length)
        value.set(values)
      }
      column[length] = at
      value[length++] = entry
    },
    endRow: () => void start.push(length),
    finish: (columns) => ({
      rows: start.length - 1,
      columns,
      start: Int32Array.from(start),
      column: column.subarray(0, length),
      value: value.subarray(0, length)
    })
  }
}

/** Builds a sparse matrix from rows given as lists of (column, value). */
export const sparse = (
  columns: number,
  rows: ReadonlyArray<ReadonlyArray<readonly [number, number]>>
): SparseMatrix => {
  const entries = builder()
  for (const row of rows) {
    for (const [column, value] of row) entries.add(column, value)
    entries.endRow()
  }
  return entries.finish(columns)
}

/** Function that adds the contribution of the rows `from .. to - 1` of A to a product. */
type AddRows = (a: SparseMatrix, x: Float64Array, k: number, out: Float64Array, from: number, to: number) => void

/** Adds `A x` [rows, k] for dense `x` [columns, k]. */
const times: AddRows = (a, x, k, out, first, end) => {
  for (let r = first; r < end; r++) {
    for (let i = a.start[r]!; i < a.start[r + 1]!; i++) {
      const v = a.value[i]!
      const from = a.column[i]! * k
      const to = r * k
      for (let j = 0; j < k; j++) out[to + j] = out[to + j]! + v * x[from + j]!
    }
  }
}

/** Adds `A' x` [columns, k] for dense `x` [rows, k]. */
const transposedTimes: AddRows = (a, x, k, out, first, end) => {
  for (let r = first; r < end; r++) {
    for (let i = a.start[r]!; i < a.start[r + 1]!; i++) {
      const v = a.value[i]!
      const to = a.column[i]! * k
      const from = r * k
      for (let j = 0; j < k; j++) out[to + j] = out[to + j]! + v * x[from + j]!
    }
  }
}

const gram = (x: Float64Array, rows: number, k: number): Float64Array => {
  const out = new Float64Array(k * k)
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < k; i++) {
      const v = x[r * k + i]!
      if (v === 0) continue
      for (let j = i; j < k; j++) out[i * k + j] = out[i * k + j]! + v * x[r * k + j]!
    }
  }
  for (let i = 0; i < k; i++) for (let j = 0; j < i; j++) out[i * k + j] = out[j * k + i]!
  return out
}

/** Decomposes a symmetric [k, k] matrix by cyclic Jacobi rotations: eigenvalues descending, eigenvectors as columns. */
export const symmetricEigen = (
  matrix: Float64Array,
  k: number
): { readonly values: Float64Array; readonly vectors: Float64Array } => {
  const a = matrix.slice()
  const v = new Float64Array(k * k)
  for (let i = 0; i < k; i++) v[i * k + i] = 1
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0
    let diagonal = 0
    for (let p = 0; p < k; p++) {
      diagonal += a[p * k + p]! ** 2
      for (let q = p + 1; q < k; q++) off += a[p * k + q]! ** 2
    }
    if (off <= 1e-26 * diagonal) break
    for (let p = 0; p < k; p++) {
      for (let q = p + 1; q < k; q++) {
        const apq = a[p * k + q]!
        if (Math.abs(apq) < 1e-300) continue
        const theta = (a[q * k + q]! - a[p * k + p]!) / (2 * apq)
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
        const c = 1 / Math.sqrt(t * t + 1)
        const s = t * c
        for (let i = 0; i < k; i++) {
          const [x, y] = [a[i * k + p]!, a[i * k + q]!]
          a[i * k + p] = c * x - s * y
          a[i * k + q] = s * x + c * y
        }
        for (let i = 0; i < k; i++) {
          const [x, y] = [a[p * k + i]!, a[q * k + i]!]
          a[p * k + i] = c * x - s * y
          a[q * k + i] = s * x + c * y
        }
        for (let i = 0; i < k; i++) {
          const [x, y] = [v[i * k + p]!, v[i * k + q]!]
          v[i * k + p] = c * x - s * y
          v[i * k + q] = s * x + c * y
        }
      }
    }
  }
  const order = Array.from({ length: k }, (_, i) => i).toSorted((x, y) => a[y * k + y]! - a[x * k + x]!)
  const values = Float64Array.from(order, (i) => a[i * k + i]!)
  const vectors = new Float64Array(k * k)
  for (const [to, from] of order.entries()) for (let i = 0; i < k; i++) vectors[i * k + to] = v[i * k + from]!
  return { values, vectors }
}

/** An orthonormal basis and how it follows from the columns it spans. */
interface Basis {
  /** Q = x C, [rows, k]. */
  readonly q: Float64Array
  /** The columns of C, [k] each. */
  readonly coefficients: ReadonlyArray<Float64Array>
}

/** Orthonormalises the columns of `x` [rows, k], twice for full orthogonality; dependent columns become zero. */
const orthonormalize = (x: Float64Array, rows: number, k: number): Basis => {
  const columns = Array.from({ length: k }, (_, j) => Float64Array.from({ length: rows }, (_, r) => x[r * k + j]!))
  const coefficients = Array.from({ length: k }, (_, j) => {
    const column = new Float64Array(k)
    column[j] = 1
    return column
  })
  for (const [j, column] of columns.entries()) {
    const own = coefficients[j]!
    const before = Math.sqrt(column.reduce((sum, value) => sum + value * value, 0))
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < j; i++) {
        const other = columns[i]!
        let dot = 0
        for (let r = 0; r < rows; r++) dot += column[r]! * other[r]!
        if (dot === 0) continue
        for (let r = 0; r < rows; r++) column[r] = column[r]! - dot * other[r]!
        for (let c = 0; c < k; c++) own[c] = own[c]! - dot * coefficients[i]![c]!
      }
    }
    const norm = Math.sqrt(column.reduce((sum, value) => sum + value * value, 0))
    const scale = norm <= 1e-10 * before || norm === 0 ? 0 : 1 / norm
    for (let r = 0; r < rows; r++) column[r] = column[r]! * scale
    for (let c = 0; c < k; c++) own[c] = own[c]! * scale
  }
  const out = new Float64Array(rows * k)
  for (const [j, column] of columns.entries()) for (let r = 0; r < rows; r++) out[r * k + j] = column[r]!
  return { q: out, coefficients }
}

/** The leading singular triples A = U S V', the largest value first. */
export interface Svd {
  readonly rank: number
  /** U, [rows, rank]. */
  readonly left: Float64Array
  /** S, [rank]. */
  readonly values: Float64Array
  /**
   * Computes P [columns, rank] with A P = U, which folds in a row x that was not decomposed: x P. P is V / S where the
   * iterations have converged; where they have not, V / S would not map the rows of A to their own coordinates.
   */
  readonly folding: Effect.Effect<Float32Array>
}

/** Entries between two yields to other fibers: some tens of milliseconds. */
const entriesAtOnce = 1 << 18

/**
 * Computes at most `rank` leading triples; fewer where the matrix has fewer. The sign of each is chosen so that the entry
 * of largest magnitude of its right vector is positive. Yields to other fibers; `name` labels the progress line.
 */
export const compute = Effect.fn("TruncatedSvd.compute")(function*(
  name: string,
  a: SparseMatrix,
  rank: number,
  seed: number,
  iterations = 6
): Effect.fn.Return<Svd, never, Progress> {
  const k = Math.min(rank + 16, a.rows, a.columns)
  const next = Random.normal(seed, 0x5bd)
  const passes = 2 * iterations + 2
  const tracker = (yield* Progress).start(name, passes, "passes")
  let done = 0
  const pass = Effect.fnUntraced(function*(addRows: AddRows, x: Float64Array) {
    const out = new Float64Array((addRows === times ? a.rows : a.columns) * k)
    for (let from = 0, to = 0; from < a.rows; from = to) {
      while (to < a.rows && a.start[to]! - a.start[from]! < entriesAtOnce) to++
      addRows(a, x, k, out, from, to)
      yield* Effect.yieldNow
    }
    tracker.update(++done)
    return out
  })
  let y = Float64Array.from({ length: a.columns * k }, next)
  let basis = orthonormalize(yield* pass(times, y), a.rows, k)
  for (let i = 0; i < iterations; i++) {
    y = yield* pass(transposedTimes, basis.q)
    basis = orthonormalize(yield* pass(times, y), a.rows, k)
  }
  const { coefficients, q } = basis
  const z = yield* pass(transposedTimes, q)
  const { values, vectors } = symmetricEigen(gram(z, a.columns, k), k)
  const singular = values.map((value) => Math.sqrt(Math.max(0, value)))
  const kept = Math.min(rank, singular.filter((value) => value > 1e-9 * (singular[0] ?? 0)).length)
  const signs = Array.from({ length: kept }, (_, j) => {
    let largest = 0
    for (let c = 0; c < a.columns; c++) {
      let value = 0
      for (let i = 0; i < k; i++) value += z[c * k + i]! * vectors[i * k + j]!
      if (Math.abs(value) > Math.abs(largest)) largest = value
    }
    return largest < 0 ? -1 : 1
  })
  const left = new Float64Array(a.rows * kept)
  for (let r = 0; r < a.rows; r++) {
    for (let j = 0; j < kept; j++) {
      let value = 0
      for (let i = 0; i < k; i++) value += q[r * k + i]! * vectors[i * k + j]!
      left[r * kept + j] = value * signs[j]!
    }
  }
  tracker.finish()
  // U = Q W and Q = A Y C, so that P = Y (C W).
  const folding = Effect.gen(function*() {
    const mixed = new Float64Array(k * kept)
    for (let i = 0; i < k; i++) {
      for (let c = 0; c < k; c++) {
        const value = coefficients[i]![c]!
        if (value === 0) continue
        for (let j = 0; j < kept; j++) mixed[c * kept + j]! += value * vectors[i * k + j]! * signs[j]!
      }
    }
    const out = new Float32Array(a.columns * kept)
    const row = new Float64Array(kept)
    for (let column = 0; column < a.columns; column++) {
      if (column % 4096 === 4095) yield* Effect.yieldNow
      row.fill(0)
      for (let c = 0; c < k; c++) {
        const value = y[column * k + c]!
        for (let j = 0; j < kept; j++) row[j]! += value * mixed[c * kept + j]!
      }
      out.set(row, column * kept)
    }
    return out
  })
  return { rank: kept, left, values: singular.slice(0, kept), folding }
})
