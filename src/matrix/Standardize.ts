/**
 * Standardisation of components to mean 0 and deviation 1.
 */
import { type Matrix } from "./Matrix.ts"

/** Mean and standard deviation per component, [D] each; a constant component has deviation 1. */
export interface Standardization {
  readonly mean: Float32Array
  readonly deviation: Float32Array
}

/** Measures mean and deviation of a matrix, summed in float64. */
export const measure = ({ data, rows, width }: Matrix): Standardization => {
  const sums = new Float64Array(width)
  const squares = new Float64Array(width)
  for (let r = 0; r < rows; r++) {
    for (let d = 0; d < width; d++) sums[d] = sums[d]! + data[r * width + d]!
  }
  for (let r = 0; r < rows; r++) {
    for (let d = 0; d < width; d++) squares[d] = squares[d]! + (data[r * width + d]! - sums[d]! / rows) ** 2
  }
  return {
    mean: Float32Array.from(sums, (sum) => sum / rows),
    deviation: Float32Array.from(squares, (square) => Math.sqrt(square / rows) || 1)
  }
}

/** Returns `(x - mean) / deviation`. */
export const apply = (matrix: Matrix, { deviation, mean }: Standardization): Matrix => ({
  ...matrix,
  data: matrix.data.map((value, i) => (value - mean[i % matrix.width]!) / deviation[i % matrix.width]!)
})

/** Returns `x deviation + mean`. */
export const undo = (matrix: Matrix, { deviation, mean }: Standardization): Matrix => ({
  ...matrix,
  data: matrix.data.map((value, i) => value * deviation[i % matrix.width]! + mean[i % matrix.width]!)
})
