/**
 * Dense matrices of float32, one row per item.
 */

/** Matrix [rows, width], row-major. */
export interface Matrix {
  readonly rows: number
  readonly width: number
  readonly data: Float32Array
}

/** Returns a matrix of zeros. */
export const zeros = (rows: number, width: number): Matrix => ({ rows, width, data: new Float32Array(rows * width) })

/** Returns a view of one row. */
export const row = (matrix: Matrix, index: number): Float32Array =>
  matrix.data.subarray(index * matrix.width, (index + 1) * matrix.width)

/** Scales every row to length 1; a zero row stays zero. */
export const normalizeRows = (matrix: Matrix): Matrix => {
  const data = matrix.data.slice()
  for (let r = 0; r < matrix.rows; r++) {
    let squares = 0
    for (let i = r * matrix.width; i < (r + 1) * matrix.width; i++) squares += data[i]! ** 2
    if (squares === 0) continue
    const scale = 1 / Math.sqrt(squares)
    for (let i = r * matrix.width; i < (r + 1) * matrix.width; i++) data[i] = data[i]! * scale
  }
  return { ...matrix, data }
}

/** Finds the first component that is NaN or infinite; undefined where all are finite. */
export const findNonFinite = (
  matrix: Matrix
): { readonly row: number; readonly component: number; readonly value: number } | undefined => {
  const { data } = matrix
  let at = 0
  // A loop: this is asked of millions of components, and a callback for each takes ten times as long.
  while (at < data.length && Number.isFinite(data[at]!)) at++
  return at === data.length
    ? undefined
    : { row: Math.floor(at / matrix.width), component: at % matrix.width, value: matrix.data[at]! }
}

/** Copies the given rows in their order, into `memory` where it is given and large enough. */
export const take = (matrix: Matrix, rows: ArrayLike<number>, memory?: Float32Array): Matrix => {
  const size = rows.length * matrix.width
  const data = memory !== undefined && memory.length >= size ? memory.subarray(0, size) : new Float32Array(size)
  for (let at = 0; at < rows.length; at++) data.set(row(matrix, rows[at]!), at * matrix.width)
  return { rows: rows.length, width: matrix.width, data }
}
