/**
 * A balanced assignment for millions of rows: prices from an exact solution on a sample give every row its cluster; those
 * that are nearly undecided are then assigned exactly so that all bounds hold.
 *
 * Distances are asked for block by block, so memory is N plus one block of costs. The cost is within a few per cent of
 * the optimum (a test holds it against the exact one).
 */
import * as Effect from "effect/Effect"
import * as Random from "../tensor/Random.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import * as BalancedAssignment from "./BalancedAssignment.ts"
import { type SidError } from "./SidError.ts"

/** Integer costs [count, K] of the rows `from .. from + count - 1`, or of chosen rows. */
export type CostsOf = (rows: ArrayLike<number>) => Effect.Effect<Float64Array, SidError | TensorError>

const block = 16_384
const sampledPerCluster = 48

/** Labels of N rows within the bounds. */
export const assign: (
  costsOf: CostsOf,
  rows: number,
  clusters: number,
  bounds: BalancedAssignment.SizeBounds,
  seed: number
) => Effect.Effect<Int32Array, SidError | TensorError> = Effect.fn("ApproximateBalance.assign")(
  function*(costsOf, rows, clusters, bounds, seed) {
    const problem = BalancedAssignment.problemOf(rows, clusters, bounds)
    if (problem !== undefined) return yield* problem
    const K = clusters
    const count = Math.min(rows, sampledPerCluster * K)
    const order = Random.permutation(rows, seed, 0xba1a)
    const sample = order.slice(0, count)
    const { prices } = BalancedAssignment.solve(yield* costsOf(sample), count, K, {
      least: Math.floor(bounds.least * count / rows),
      most: Math.ceil(bounds.most * count / rows)
    })
    const labels = new Int32Array(rows)
    const margins = new Float64Array(rows)
    for (let at = 0; at < rows; at += block) {
      const part = Int32Array.from({ length: Math.min(block, rows - at) }, (_, i) => at + i)
      const costs = yield* costsOf(part)
      for (const [i, row] of part.entries()) {
        let [value, second] = [Infinity, Infinity]
        for (let k = 0; k < K; k++) {
          const cost = costs[i * K + k]! + prices[k]!
          if (cost < value) {
            second = value
            value = cost
            labels[row] = k
          } else if (cost < second) second = cost
        }
        margins[row] = second - value
      }
    }
    const close = Int32Array.from({ length: rows }, (_, row) => row).toSorted((a, b) =>
      margins[a]! - margins[b]! || a - b
    )
    for (let free = count;; free = Math.min(rows, 2 * free)) {
      const fixed = new Int32Array(K)
      for (let at = free; at < rows; at++) fixed[labels[close[at]!]!]!++
      if (free < rows && fixed.some((size) => size > bounds.most)) continue
      const moving = close.subarray(0, free)
      const found = BalancedAssignment.solveEach(
        yield* costsOf(moving),
        free,
        fixed.map((size) => Math.max(0, bounds.least - size)),
        fixed.map((size) => bounds.most - size),
        prices
      )
      for (const [i, row] of moving.entries()) labels[row] = found.labels[i]!
      return labels
    }
  }
)
