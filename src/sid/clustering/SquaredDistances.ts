/**
 * Squared distances [N, K] of rows to centres.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Matrix } from "../../matrix/Matrix.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import { TensorRuntime } from "../../tensor/TensorRuntime.ts"

/** Returns the squared distance from one row to one centre, summed in float64. */
export const between = ({ data: x, width }: Matrix, r: number, { data: c }: Matrix, k: number): number => {
  let sum = 0
  for (let d = 0, from = r * width, at = k * width; d < width; d++) {
    const difference = x[from + d]! - c[at + d]!
    sum += difference * difference
  }
  return sum
}

/** Returns the squared distances [N, K] from all rows to all centres, summed in float64. */
export const exact = (rows: Matrix, centres: Matrix): Matrix => {
  const K = centres.rows
  const data = new Float32Array(rows.rows * K)
  for (let r = 0; r < rows.rows; r++) {
    for (let k = 0; k < K; k++) data[r * K + k] = between(rows, r, centres, k)
  }
  return { rows: rows.rows, width: K, data }
}

const program = TensorProgram.make({
  name: "squared.distances",
  inputs: { rows: TensorProgram.float32("N", "D"), centres: TensorProgram.float32("K", "D") },
  body: ({ centres, rows }) => ({
    squares: rows.matMul(centres as tf.Tensor2D, false, true).mul(-2)
      .add(centres.square().sum(1)).add(rows.square().sum(1, true))
  })
})

/** Function of the engine for distances [N, K]: `|x|^2 + |c|^2 - 2 x.c` in float32, which can be slightly below 0. */
export type Engine = (rows: Matrix, centres: Matrix) => Effect.Effect<Matrix, TensorError>

/** Compiles the engine's distances; all rows are taken at once. */
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
