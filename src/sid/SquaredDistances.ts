/**
 * Squared distances [N, K] of rows to centres.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Matrix } from "../embedding/Matrix.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import * as TensorProgram from "../tensor/TensorProgram.ts"
import { TensorRuntime } from "../tensor/TensorRuntime.ts"

/** Difference by difference, summed in float64. */
export const exact = (rows: Matrix, centres: Matrix): Matrix => {
  const { data: x, width } = rows
  const { data: c } = centres
  const K = centres.rows
  const data = new Float32Array(rows.rows * K)
  for (let r = 0, from = 0; r < rows.rows; r++, from += width) {
    for (let k = 0, at = 0; k < K; k++, at += width) {
      let sum = 0
      for (let d = 0; d < width; d++) {
        const difference = x[from + d]! - c[at + d]!
        sum += difference * difference
      }
      data[r * K + k] = sum
    }
  }
  return { rows: rows.rows, width: K, data }
}

const program = TensorProgram.make({
  name: "squared.distances",
  inputs: { rows: TensorProgram.float32("N", "D"), centres: TensorProgram.float32("K", "D") },
  body: ({ centres, rows }) => ({
    squares: tf.matMul(rows as tf.Tensor2D, centres as tf.Tensor2D, false, true).mul(tf.scalar(-2))
      .add(centres.square().sum(1)).add(rows.square().sum(1, true))
  })
})

/** The search of the engine: one product, `|x|^2 + |c|^2 - 2 x.c` in float32, which can be slightly below 0. */
export type Engine = (rows: Matrix, centres: Matrix) => Effect.Effect<Matrix, TensorError>

/** The engine's distances; all rows at once. */
export const engine: Effect.Effect<Engine, TensorError, TensorRuntime | Scope.Scope> = Effect.gen(function*() {
  const runtime = yield* TensorRuntime
  const executable = yield* runtime.compile(program)
  const fed = ({ data, rows, width }: Matrix) => TensorProgram.hostFloat32(data, rows, width)
  return Effect.fnUntraced(function*(rows: Matrix, centres: Matrix) {
    const outputs = yield* executable.run({ rows: fed(rows), centres: fed(centres) })
    const { data } = yield* outputs.squares.read
    return { rows: rows.rows, width: centres.rows, data: (data as Float32Array).slice() }
  }, Effect.scoped)
})
