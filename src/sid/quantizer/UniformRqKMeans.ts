/**
 * Residual k-means whose codes are assigned in equal shares by entropic transport: MiniOneRec's `--uniform` over faiss.
 *
 * Level by level, on the residuals of the codes assigned before: every code has room for N / K items, one more for the
 * first N mod K; a plan with squared distances as cost and the regularisation
 * `max(1e-6, 0.1 median of the rows' 90th percentile of (distance - least))` (Cuturi 2013), then items in a shuffled
 * order take the code that the plan gives most to among those with room. Differs from MiniOneRec, which looks at the
 * first 32 codes alone and may then overfill: here room always holds.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { type Progress } from "../../run/Progress.ts"
import * as Random from "../../statistics/Random.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as SquaredDistances from "../clustering/SquaredDistances.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import type * as Quantizer from "../Quantizer.ts"
import * as RqKMeans from "./RqKMeans.ts"

const sampledRows = 4000
const mostIterations = 1000
const stop = 1e-9

/** Returns the regularisation for squared distances [N, K]. */
export const regularisation = (costs: Float64Array, rows: number, codes: number, seed: number): number => {
  const chosen = Random.permutation(rows, seed, 0x7a0).subarray(0, sampledRows)
  const spreads = Float64Array.from(chosen, (row) => {
    const sorted = costs.slice(row * codes, (row + 1) * codes).toSorted()
    const at = 0.9 * (codes - 1)
    const low = Math.floor(at)
    const high = Math.min(codes - 1, low + 1)
    return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!) - sorted[0]!
  }).toSorted()
  const middle = spreads.length >> 1
  const median = spreads.length % 2 === 1 ? spreads[middle]! : (spreads[middle - 1]! + spreads[middle]!) / 2
  return Math.max(1e-6, 0.1 * median)
}

/** Computes the transport plan [N, K] with row sums 1 / N and column sums `capacities / N`. */
export const plan = (costs: Float64Array, rows: number, capacities: ArrayLike<number>, tau: number): Float64Array => {
  const K = capacities.length
  const kernel = new Float64Array(costs.length)
  for (let r = 0; r < rows; r++) {
    let least = Infinity
    for (let k = 0; k < K; k++) least = Math.min(least, costs[r * K + k]!)
    // Less its least, a row has an entry 1: nothing underflows as a whole, and the scaling undoes the shift.
    for (let k = 0; k < K; k++) kernel[r * K + k] = Math.exp((least - costs[r * K + k]!) / tau)
  }
  const u = new Float64Array(rows)
  const v = new Float64Array(K).fill(1)
  const columns = new Float64Array(K)
  for (let iteration = 0; iteration < mostIterations; iteration++) {
    columns.fill(0)
    for (let r = 0; r < rows; r++) {
      let sum = 0
      for (let k = 0; k < K; k++) sum += kernel[r * K + k]! * v[k]!
      u[r] = 1 / (rows * sum)
      for (let k = 0; k < K; k++) columns[k]! += kernel[r * K + k]! * u[r]!
    }
    let error = 0
    for (let k = 0; k < K; k++) {
      const wanted = capacities[k]! / rows
      error += (columns[k]! * v[k]! - wanted) ** 2
      v[k] = wanted / Math.max(columns[k]!, 1e-300)
    }
    if (Math.sqrt(error) < stop) break
  }
  for (let r = 0; r < rows; r++) for (let k = 0; k < K; k++) kernel[r * K + k]! *= u[r]! * v[k]!
  return kernel
}

/** Assigns rows by a plan in shuffled order, each to the code of most mass among those with room; returns labels [N]. */
export const handOut = (plan: Float64Array, rows: number, capacities: ArrayLike<number>, seed: number): Int32Array => {
  const K = capacities.length
  const room = Int32Array.from(capacities)
  const labels = new Int32Array(rows)
  for (const row of Random.permutation(rows, seed, 0x5eed)) {
    let best = -1
    for (let k = 0; k < K; k++) {
      if (room[k]! > 0 && (best < 0 || plan[row * K + k]! > plan[row * K + best]!)) best = k
    }
    room[best]!--
    labels[row] = best
  }
  return labels
}

/** Provides the quantizer: codebooks of RQ-KMeans, codes by transport. */
export const layer = (
  config: RqKMeans.RqKMeansConfig,
  shape: Quantizer.SidShape,
  seed: number
): Layer.Layer<Quantizer.Quantizer, never, TensorRuntime | Progress> =>
  ResidualCodebooks.layer({
    name: "faiss-uniform",
    settings: [config, shape, seed],
    train: Effect.fn("UniformRqKMeans.train")(function*({ embeddings }) {
      const { codebooks } = yield* RqKMeans.train(config, shape, embeddings, seed)
      const distances = yield* SquaredDistances.engine
      return yield* ResidualCodebooks.trainLevels(
        "faiss-uniform",
        embeddings,
        shape.levels,
        Effect.fnUntraced(function*(residual, level) {
          const centres = codebooks[level]!
          const [N, K] = [residual.rows, centres.rows]
          const capacities = Int32Array.from({ length: K }, (_, k) => Math.floor(N / K) + (k < N % K ? 1 : 0))
          const costs = Float64Array.from((yield* distances(residual, centres)).data)
          const tau = regularisation(costs, N, K, seed + level)
          return { centres, labels: handOut(plan(costs, N, capacities, tau), N, capacities, seed + level) }
        })
      )
    })
  })
