/**
 * Greedy k-means++ (Arthur and Vassilvitskii 2007): every next centre is the best of a few rows drawn with probability
 * proportional to their squared distance from the centres so far.
 *
 * All distances come from one product of the rows with themselves, so rows are sampled down to a few thousand first.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Matrix from "../../matrix/Matrix.ts"
import * as Random from "../../statistics/Random.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import { TensorRuntime } from "../../tensor/TensorRuntime.ts"

/** Function that chooses K rows as centres out of at most `sample` rows. */
export type Seed = (rows: Matrix.Matrix, k: number, sample: number, ...keys: ReadonlyArray<number>) => Effect.Effect<
  Matrix.Matrix,
  TensorError
>

const program = TensorProgram.make({
  name: "kmeans.gram",
  inputs: { rows: TensorProgram.float32("N", "D") },
  body: ({ rows }) => ({ gram: rows.matMul(rows as tf.Tensor2D, false, true) })
})

/** Chooses K rows by their inner products [N, N]; returns their numbers. */
export const choose = (gram: Float32Array, rows: number, k: number, next: () => number): Int32Array => {
  const trials = 2 + Math.floor(Math.log(k))
  const chosen = new Int32Array(k)
  const nearest = new Float64Array(rows)
  const squares = Float64Array.from({ length: rows }, (_, row) => gram[row * rows + row]!)
  /** Sums the distances with an additional row chosen; stops early when the sum exceeds `bound`. */
  const sumWith = (row: number, bound: number): number => {
    const [base, own] = [row * rows, squares[row]!]
    let sum = 0
    for (let r = 0; r < rows && sum < bound; r++) {
      const far = own + squares[r]! - 2 * gram[base + r]!
      sum += far < nearest[r]! ? (far > 0 ? far : 0) : nearest[r]!
    }
    return sum
  }
  const add = (row: number): void => {
    const [base, own] = [row * rows, squares[row]!]
    for (let r = 0; r < rows; r++) {
      const far = own + squares[r]! - 2 * gram[base + r]!
      if (far < nearest[r]!) nearest[r] = far > 0 ? far : 0
    }
  }
  const cumulative = new Float64Array(rows)
  chosen[0] = Math.floor(next() * rows)
  nearest.fill(Infinity)
  add(chosen[0]!)
  for (let c = 1; c < k; c++) {
    let total = 0
    for (let r = 0; r < rows; r++) {
      total += nearest[r]!
      cumulative[r] = total
    }
    let least = Infinity
    for (let t = 0; t < trials; t++) {
      const at = next() * total
      let [low, high] = [0, rows - 1]
      while (low < high) {
        const middle = (low + high) >> 1
        if (cumulative[middle]! > at) high = middle
        else low = middle + 1
      }
      const left = sumWith(low, least)
      if (left < least) {
        least = left
        chosen[c] = low
      }
    }
    add(chosen[c]!)
  }
  return chosen
}

/** Compiles the engine's seeding. */
export const seeder: Effect.Effect<Seed, TensorError, TensorRuntime | Scope.Scope> = Effect.gen(function*() {
  const runtime = yield* TensorRuntime
  const executable = yield* runtime.compile(program)
  return Effect.fnUntraced(function*(rows, k, sample, ...keys) {
    const part = rows.rows <= sample
      ? rows
      : Matrix.take(rows, Random.permutation(rows.rows, ...keys, 0).subarray(0, Math.max(k, sample)))
    const outputs = yield* executable.run({ rows: TensorProgram.hostFloat32(part.data, part.rows, part.width) })
    const gram = (yield* outputs.gram.read).data as Float32Array
    return Matrix.take(part, choose(gram, part.rows, k, Random.uniform(...keys, 1)))
  }, Effect.scoped)
})
