/**
 * Principal components, in float64.
 */
import { type Matrix } from "./Matrix.ts"
import * as MlMatrix from "./MlMatrix.ts"

/** Axes that rows are projected on and reconstructed from. */
export interface Axes {
  /** Mean of the rows, [D]. */
  readonly mean: Float64Array
  /** Orthonormal rows [R, D]; the entry of largest magnitude of each is positive. */
  readonly components: ReadonlyArray<Float64Array>
}

/** Principal components in descending order of variance. */
export interface Pca extends Axes {
  /** Variance along each component, [R]. */
  readonly variances: Float64Array
}

/** Computes the covariance [D, D] of rows around `mean`, divided by N. */
export const covariance = ({ data, rows, width }: Matrix, mean: Float64Array): MlMatrix.Dense => {
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
  const out = MlMatrix.library().Matrix.zeros(width, width)
  for (let i = 0; i < width; i++) {
    for (let j = i; j < width; j++) {
      out.set(i, j, sums[i * width + j]! / rows)
      out.set(j, i, sums[i * width + j]! / rows)
    }
  }
  return out
}

/** Computes the mean of the rows, [D]. */
export const meanOf = ({ data, rows, width }: Matrix): Float64Array => {
  const mean = new Float64Array(width)
  for (let at = 0; at < data.length; at += width) for (let d = 0; d < width; d++) mean[d]! += data[at + d]! / rows
  return mean
}

/** Fits the first `rank` components to rows. */
export const fit = (matrix: Matrix, rank: number): Pca => {
  const mean = meanOf(matrix)
  const { eigenvectorMatrix, realEigenvalues } = new (MlMatrix.library().EigenvalueDecomposition)(
    covariance(matrix, mean),
    {
      assumeSymmetric: true
    }
  )
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

/** Returns the components as one array [R, D], row-major. */
export const flatten = ({ components, mean }: Axes): Float64Array => {
  const data = new Float64Array(components.length * mean.length)
  for (const [c, component] of components.entries()) data.set(component, c * mean.length)
  return data
}

/** Returns the components of one array [R, D]. */
export const componentsOf = (data: Float32Array | Float64Array, width: number): Axes["components"] =>
  Array.from({ length: data.length / width }, (_, c) => Float64Array.from(data.subarray(c * width, (c + 1) * width)))

/** Projects rows to coordinates [N, R]. */
export const project = ({ data, rows, width }: Matrix, { components, mean }: Axes): Matrix => {
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

/** Reconstructs rows [N, D] from coordinates. */
export const reconstruct = (coordinates: Matrix, { components, mean }: Axes): Matrix => {
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
