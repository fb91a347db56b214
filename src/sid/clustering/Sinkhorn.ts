/**
 * Balanced assignment of rows to codes by entropic transport (Cuturi 2013), as MiniOneRec does it.
 */
import { type Matrix } from "../../matrix/Matrix.ts"

/**
 * Centres and scales distances to about [-1, 1]: `(d - (max + min) / 2) / (max - (max + min) / 2 + 1e-5)`, in float32.
 */
export const centre = ({ data, rows, width }: Matrix): Matrix => {
  let [least, most] = [Infinity, -Infinity]
  for (const value of data) {
    if (value < least) least = value
    if (value > most) most = value
  }
  const middle = Math.fround(Math.fround(most + least) / 2)
  const amplitude = Math.fround(Math.fround(most - middle) + Math.fround(1e-5))
  return { rows, width, data: data.map((value) => Math.fround(value - middle) / amplitude) }
}

/**
 * Computes the transport plan [B, K] of centred distances: `exp(-d / epsilon)`, then rows and columns scaled in turn to 1/B and 1/K;
 * times B at the end.
 */
export const plan = ({ data, rows, width }: Matrix, epsilon: number, iterations: number): Float64Array => {
  const q = new Float64Array(data.length)
  for (let i = 0; i < q.length; i++) q[i] = Math.exp(-data[i]! / epsilon)
  const total = q.reduce((sum, value) => sum + value, 0)
  for (let i = 0; i < q.length; i++) q[i] = q[i]! / total
  const columns = new Float64Array(width)
  for (let iteration = 0; iteration < iterations; iteration++) {
    columns.fill(0)
    for (let r = 0; r < rows; r++) {
      let sum = 0
      for (let c = 0; c < width; c++) sum += q[r * width + c]!
      for (let c = 0; c < width; c++) {
        const value = q[r * width + c]! / sum / rows
        q[r * width + c] = value
        columns[c] = columns[c]! + value
      }
    }
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < width; c++) q[r * width + c] = q[r * width + c]! / columns[c]! / width
    }
  }
  for (let i = 0; i < q.length; i++) q[i] = q[i]! * rows
  return q
}

/** Returns the code with the most mass of each row; ties go to the lowest code. */
export const codesOf = (plan: Float64Array, rows: number, width: number): Int32Array =>
  Int32Array.from({ length: rows }, (_, r) => {
    let best = 0
    for (let c = 1; c < width; c++) if (plan[r * width + c]! > plan[r * width + best]!) best = c
    return best
  })

/** Assigns all rows together to codes by their squared distances [B, K]; returns codes [B]. */
export const assign = (distances: Matrix, epsilon: number, iterations: number): Int32Array =>
  codesOf(plan(centre(distances), epsilon, iterations), distances.rows, distances.width)
