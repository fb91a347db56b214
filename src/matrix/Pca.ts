/**
 * Principal components, in float64.
 */
import { EigenvalueDecomposition, Matrix as Dense } from "ml-matrix"
import { type Matrix } from "./Matrix.ts"

/** Directions of most variance, most first. */
export interface Pca {
  /** [D]. */
  readonly mean: Float64Array
  /** [R, D]: orthonormal rows; of each the entry of most size is positive. */
  readonly components: ReadonlyArray<Float64Array>
  /** [R]: variance along each. */
  readonly variances: Float64Array
}

/** The second moments [D, D] of centred rows. */
export const covariance = ({ data, rows, width }: Matrix, mean: Float64Array): Dense => {
  const sums = new Float64Array(width * width)
  const row = new Float64Array(width)
  for (let at = 0; at < data.length; at += width) {
    for (let d = 0; d < width; d++) row[d] = data[at + d]! - mean[d]!
    for (let i = 0; i < width; i++) {
      const own = row[i]!
      if (own === 0) continue
      const to = i * width
      for (let j = i; j < width; j++) sums[to + j]! += own * row[j]!
    }
  }
  const out = Dense.zeros(width, width)
  for (let i = 0; i < width; i++) {
    for (let j = i; j < width; j++) {
      out.set(i, j, sums[i * width + j]! / rows)
      out.set(j, i, sums[i * width + j]! / rows)
    }
  }
  return out
}

/** Means of the components. */
export const meanOf = ({ data, rows, width }: Matrix): Float64Array => {
  const mean = new Float64Array(width)
  for (let at = 0; at < data.length; at += width) for (let d = 0; d < width; d++) mean[d]! += data[at + d]! / rows
  return mean
}

/** The first `rank` components. */
export const fit = (matrix: Matrix, rank: number): Pca => {
  const mean = meanOf(matrix)
  const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(covariance(matrix, mean), {
    assumeSymmetric: true
  })
  const order = Array.from(realEigenvalues.keys()).toSorted((a, b) => realEigenvalues[b]! - realEigenvalues[a]!)
    .slice(0, rank)
  return {
    mean,
    variances: Float64Array.from(order, (at) => Math.max(0, realEigenvalues[at]!)),
    components: order.map((at) => {
      const column = Float64Array.from(eigenvectorMatrix.getColumn(at))
      const largest = column.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)
      return largest < 0 ? column.map((value) => -value) : column
    })
  }
}

/** Coordinates [N, R] of rows. */
export const project = ({ data, rows, width }: Matrix, { components, mean }: Pca): Matrix => {
  const rank = components.length
  const out = new Float32Array(rows * rank)
  for (let r = 0; r < rows; r++) {
    for (const [c, component] of components.entries()) {
      let sum = 0
      for (let d = 0; d < width; d++) sum += (data[r * width + d]! - mean[d]!) * component[d]!
      out[r * rank + c] = sum
    }
  }
  return { rows, width: rank, data: out }
}

/** Rows [N, D] of coordinates. */
export const reconstruct = (coordinates: Matrix, { components, mean }: Pca): Matrix => {
  const width = mean.length
  const out = new Float32Array(coordinates.rows * width)
  const row = new Float64Array(width)
  for (let r = 0; r < coordinates.rows; r++) {
    row.set(mean)
    for (const [c, component] of components.entries()) {
      const value = coordinates.data[r * coordinates.width + c]!
      for (let d = 0; d < width; d++) row[d]! += value * component[d]!
    }
    out.set(row, r * width)
  }
  return { rows: coordinates.rows, width, data: out }
}
