/**
 * Linear least squares with an intercept and a ridge penalty, solved by Cholesky's method in float64.
 */
import { type Matrix, row, zeros } from "./Matrix.ts"

/** Linear map from width E to width D: y = (x - `inputMean`) `weights` + `outputMean`. */
export interface LinearMap {
  readonly inputMean: Float64Array
  readonly outputMean: Float64Array
  /** Weights [E, D], row-major. */
  readonly weights: Float64Array
}

const meanOf = (matrix: Matrix): Float64Array => {
  const mean = new Float64Array(matrix.width)
  for (let r = 0; r < matrix.rows; r++) {
    const values = row(matrix, r)
    for (let i = 0; i < mean.length; i++) mean[i]! += values[i]! / matrix.rows
  }
  return mean
}

const centred = (matrix: Matrix, mean: Float64Array): Float64Array => {
  const values = new Float64Array(matrix.data.length)
  for (let i = 0; i < values.length; i++) values[i] = matrix.data[i]! - mean[i % matrix.width]!
  return values
}

/**
 * Fits the map from rows `inputs` [N, E] to rows `outputs` [N, D] with the least sum of squared errors plus a penalty on
 * the squared weights, `ridge` times the mean variance of an input component and N.
 */
export const fit = (inputs: Matrix, outputs: Matrix, ridge: number): LinearMap => {
  const [rows, width, out] = [inputs.rows, inputs.width, outputs.width]
  const [inputMean, outputMean] = [meanOf(inputs), meanOf(outputs)]
  const [x, y] = [centred(inputs, inputMean), centred(outputs, outputMean)]
  const gram = new Float64Array(width * width)
  const weights = new Float64Array(width * out)
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < width; i++) {
      const value = x[r * width + i]!
      if (value === 0) continue
      for (let j = 0; j <= i; j++) gram[i * width + j]! += value * x[r * width + j]!
      for (let j = 0; j < out; j++) weights[i * out + j]! += value * y[r * out + j]!
    }
  }
  let trace = 0
  for (let i = 0; i < width; i++) trace += gram[i * width + i]!
  // The least positive number keeps the factor of an input without variance finite.
  const penalty = Math.max((ridge * trace) / width, Number.MIN_VALUE, trace * 1e-12)
  for (let i = 0; i < width; i++) gram[i * width + i]! += penalty
  for (let i = 0; i < width; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = gram[i * width + j]!
      for (let k = 0; k < j; k++) sum -= gram[i * width + k]! * gram[j * width + k]!
      gram[i * width + j] = i === j ? Math.sqrt(sum) : sum / gram[j * width + j]!
    }
  }
  for (let i = 0; i < width; i++) {
    for (let k = 0; k < i; k++) {
      const factor = gram[i * width + k]!
      for (let j = 0; j < out; j++) weights[i * out + j]! -= factor * weights[k * out + j]!
    }
    for (let j = 0; j < out; j++) weights[i * out + j]! /= gram[i * width + i]!
  }
  for (let i = width - 1; i >= 0; i--) {
    for (let k = i + 1; k < width; k++) {
      const factor = gram[k * width + i]!
      for (let j = 0; j < out; j++) weights[i * out + j]! -= factor * weights[k * out + j]!
    }
    for (let j = 0; j < out; j++) weights[i * out + j]! /= gram[i * width + i]!
  }
  return { inputMean, outputMean, weights }
}

/** Applies a map to rows [B, E]; returns [B, D]. */
export const apply = ({ inputMean, outputMean, weights }: LinearMap, inputs: Matrix): Matrix => {
  const result = zeros(inputs.rows, outputMean.length)
  for (let r = 0; r < inputs.rows; r++) {
    const sums = outputMean.slice()
    const values = row(inputs, r)
    for (let i = 0; i < inputs.width; i++) {
      const value = values[i]! - inputMean[i]!
      for (let j = 0; j < sums.length; j++) sums[j]! += value * weights[i * sums.length + j]!
    }
    row(result, r).set(sums)
  }
  return result
}
