/**
 * A balanced assignment for millions of rows: prices from an exact solution on a sample, then one row after another to the
 * cluster with the least cost plus price that still has room.
 *
 * Distances are asked for block by block, so memory is N plus one block. Bounds always hold; the cost is within a few
 * per cent of the optimum (a test holds it against the exact one).
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
    const sizes = new Int32Array(K)
    // Seats that must still be filled so that no cluster ends below its least size.
    let owed = K * bounds.least
    // Rows come in a random order, so that the last ones, who find clusters full, are nobody in particular.
    for (let at = 0; at < rows; at += block) {
      const part = order.subarray(at, Math.min(rows, at + block))
      const costs = yield* costsOf(part)
      for (const [i, row] of part.entries()) {
        const mustFill = rows - at - i <= owed
        let best = -1
        let value = Infinity
        for (let k = 0; k < K; k++) {
          if (sizes[k]! >= bounds.most || (mustFill && sizes[k]! >= bounds.least)) continue
          const cost = costs[i * K + k]! + prices[k]!
          if (cost < value) {
            value = cost
            best = k
          }
        }
        if (sizes[best]! < bounds.least) owed--
        sizes[best]!++
        labels[row] = best
      }
    }
    return labels
  }
)
