/**
 * The leading singular triples of a sparse matrix by randomized subspace iteration (Halko, Martinsson and Tropp 2011),
 * in float64 and deterministic for a seed.
 */
import * as Random from "../tensor/Random.ts"

/** Compressed sparse rows. */
export interface SparseMatrix {
  readonly rows: number
  readonly columns: number
  readonly start: Int32Array
  readonly column: Int32Array
  readonly value: Float64Array
}

/** Rows given as lists of (column, value). */
export const sparse = (
  columns: number,
  rows: ReadonlyArray<ReadonlyArray<readonly [number, number]>>
): SparseMatrix => {
  const start = new Int32Array(rows.length + 1)
  for (const [r, row] of rows.entries()) start[r + 1] = start[r]! + row.length
  const column = new Int32Array(start[rows.length]!)
  const value = new Float64Array(start[rows.length]!)
  for (const [r, row] of rows.entries()) {
    for (const [i, [c, v]] of row.entries()) {
      column[start[r]! + i] = c
      value[start[r]! + i] = v
    }
  }
  return { rows: rows.length, columns, start, column, value }
}

/** `A x` for [columns, k] dense `x`, giving [rows, k]. */
const times = (a: SparseMatrix, x: Float64Array, k: number): Float64Array => {
  const out = new Float64Array(a.rows * k)
  for (let r = 0; r < a.rows; r++) {
    for (let i = a.start[r]!; i < a.start[r + 1]!; i++) {
      const v = a.value[i]!
      const from = a.column[i]! * k
      const to = r * k
      for (let j = 0; j < k; j++) out[to + j] = out[to + j]! + v * x[from + j]!
    }
  }
  return out
}

/** `A' x` for [rows, k] dense `x`, giving [columns, k]. */
const transposedTimes = (a: SparseMatrix, x: Float64Array, k: number): Float64Array => {
  const out = new Float64Array(a.columns * k)
  for (let r = 0; r < a.rows; r++) {
    for (let i = a.start[r]!; i < a.start[r + 1]!; i++) {
      const v = a.value[i]!
      const to = a.column[i]! * k
      const from = r * k
      for (let j = 0; j < k; j++) out[to + j] = out[to + j]! + v * x[from + j]!
    }
  }
  return out
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

/** Eigenvalues, descending, and eigenvectors as columns of a symmetric [k, k] matrix, by cyclic Jacobi rotations. */
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

/** Orthonormal columns spanning those of `x` [rows, k], twice for full orthogonality; dependent columns become zero. */
const orthonormalize = (x: Float64Array, rows: number, k: number): Float64Array => {
  const columns = Array.from({ length: k }, (_, j) => Float64Array.from({ length: rows }, (_, r) => x[r * k + j]!))
  for (const [j, column] of columns.entries()) {
    const before = Math.sqrt(column.reduce((sum, value) => sum + value * value, 0))
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < j; i++) {
        const other = columns[i]!
        let dot = 0
        for (let r = 0; r < rows; r++) dot += column[r]! * other[r]!
        if (dot !== 0) { for (let r = 0; r < rows; r++) column[r] = column[r]! - dot * other[r]! }
      }
    }
    const norm = Math.sqrt(column.reduce((sum, value) => sum + value * value, 0))
    const scale = norm <= 1e-10 * before || norm === 0 ? 0 : 1 / norm
    for (let r = 0; r < rows; r++) column[r] = column[r]! * scale
  }
  const out = new Float64Array(rows * k)
  for (const [j, column] of columns.entries()) for (let r = 0; r < rows; r++) out[r * k + j] = column[r]!
  return out
}

/** Left singular vectors [rows, rank] and singular values, largest first. */
export interface Svd {
  readonly rank: number
  readonly left: Float64Array
  readonly values: Float64Array
}

/**
 * At most `rank` leading triples; fewer when the matrix has fewer. The sign of each is chosen so that the entry of
 * largest size in its right vector is positive.
 */
export const compute = (a: SparseMatrix, rank: number, seed: number, iterations = 6): Svd => {
  const k = Math.min(rank + 16, a.rows, a.columns)
  const next = Random.normal(seed, 0x5bd)
  const start = Float64Array.from({ length: a.columns * k }, next)
  let q = orthonormalize(times(a, start, k), a.rows, k)
  for (let i = 0; i < iterations; i++) q = orthonormalize(times(a, transposedTimes(a, q, k), k), a.rows, k)
  const z = transposedTimes(a, q, k)
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
  return { rank: kept, left, values: singular.slice(0, kept) }
}
