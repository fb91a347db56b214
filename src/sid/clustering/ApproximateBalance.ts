/**
 * A balanced assignment for millions of rows: prices from an exact solution on a sample give every row its cluster; those
 * that are nearly undecided are then assigned exactly so that all bounds hold.
 *
 * Distances are asked for block by block, so memory is N plus one block of costs. The cost is within a few per cent of
 * the optimum (a test holds it against the exact one).
 */
import * as Effect from "effect/Effect"
import * as Random from "../../statistics/Random.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { type SidError } from "../SidError.ts"
import * as BalancedAssignment from "./BalancedAssignment.ts"

/** Function that returns integer costs [rows, K] of the chosen rows to all clusters. */
export type CostsOf = (rows: ArrayLike<number>) => Effect.Effect<Float64Array, SidError | TensorError>

const block = 16_384
const sampledPerCluster = 48
const passes = 12

/** Assigns N rows to clusters within the bounds; returns labels [N]. */
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
    const sizes = new Int32Array(K)
    /** Labels every row with its cheapest cluster; returns the mean margin to the second cheapest. */
    const choose = Effect.fnUntraced(function*() {
      sizes.fill(0)
      let sum = 0
      for (let at = 0; at < rows; at += block) {
        const part = Int32Array.from({ length: Math.min(block, rows - at) }, (_, i) => at + i)
        const costs = yield* costsOf(part)
        for (let i = 0; i < part.length; i++) {
          let [value, second, best] = [Infinity, Infinity, 0]
          for (let k = 0, from = i * K; k < K; k++, from++) {
            const cost = costs[from]! + prices[k]!
            if (cost < value) {
              second = value
              value = cost
              best = k
            } else if (cost < second) second = cost
          }
          labels[at + i] = best
          margins[at + i] = second - value
          sizes[best]!++
          if (K > 1) sum += second - value
        }
      }
      return sum / rows
    })
    const over = () => sizes.reduce((sum, size) => sum + Math.max(0, size - bounds.most), 0)
    let gap = yield* choose()
    // The sample's prices err by its size; a few steps over all rows leave few that must be moved exactly.
    for (let pass = 0; pass < passes && over() > rows / 100; pass++) {
      for (let k = 0; k < K; k++) {
        const excess = Math.max(0, sizes[k]! - bounds.most) - Math.max(0, bounds.least - sizes[k]!)
        prices[k]! += Math.round(gap * K / rows * 0.8 ** pass * excess)
      }
      gap = yield* choose()
    }
    // Of every cluster those that are nearest to another go into the exact problem: all it must give, and some more.
    const spare = Math.ceil(count / K / 2)
    const byCluster = Array.from({ length: K }, (): Array<number> => [])
    for (let r = 0; r < rows; r++) byCluster[labels[r]!]!.push(r)
    const moving = byCluster.flatMap((members) =>
      members.toSorted((a, b) => margins[a]! - margins[b]! || a - b)
        .slice(0, spare + Math.max(0, members.length - bounds.most))
    )
    const fixed = sizes.slice()
    for (const row of moving) fixed[labels[row]!]!--
    const found = BalancedAssignment.solveEach(
      yield* costsOf(moving),
      moving.length,
      fixed.map((size) => Math.max(0, bounds.least - size)),
      fixed.map((size) => bounds.most - size),
      prices
    )
    for (const [i, row] of moving.entries()) labels[row] = found.labels[i]!
    return labels
  }
)
