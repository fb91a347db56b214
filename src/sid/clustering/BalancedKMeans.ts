/**
 * k-means whose clusters all have about the same number of rows (Bradley, Bennett and Demiriz 2000): Lloyd's iterations
 * with the exact balanced assignment.
 */
import * as Effect from "effect/Effect"
import type * as Matrix from "../../matrix/Matrix.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { type SidError } from "../SidError.ts"
import * as BalancedAssignment from "./BalancedAssignment.ts"
import * as HalfToEven from "./HalfToEven.ts"

/** Function that returns squared distances [N, K] from rows to centres. */
export type SquaredDistances = (rows: Dense, centres: Dense) => Effect.Effect<Float64Array, TensorError>

/** Matrix [rows, width] of float64, row-major. */
export interface Dense {
  readonly rows: number
  readonly width: number
  readonly data: Float64Array
}

/** Settings of the iterations. */
export interface BalancedOptions {
  readonly bounds: BalancedAssignment.SizeBounds
  readonly maximumIterations: number
  /** Stops when the centres move less than this times the mean variance of a component, squared and summed. */
  readonly tolerance: number
  /**
   * Cost of an assignment: the squared distance, which the iterations lower, or as in k-means-constrained the distance in
   * thousandths, rounded half to even.
   */
  readonly cost: "squared" | "thousandths"
  /**
   * Result: the centres of the best iterate with labels for them, or as in k-means-constrained the centres of the best
   * iterate with the labels and the inertia of one more assignment to the last centres.
   */
  readonly returned: "consistent" | "last-step"
}

/** Result of the iterations. */
export interface BalancedClustering {
  readonly labels: Int32Array
  readonly centres: Dense
  /** Sum of squared distances. */
  readonly inertia: number
  readonly iterations: number
  readonly trace: ReadonlyArray<{ readonly inertia: number; readonly cost: number; readonly shift: number }>
}

/** Returns integer costs of squared distances: thousandths of the distance, or the square times `scale`. */
export const costsOf = (
  squares: Float32Array | Float64Array,
  cost: BalancedOptions["cost"],
  scale: number
): Float64Array => {
  // A loop: `Float64Array.from` with a function takes ten times as long.
  const costs = new Float64Array(squares.length)
  for (let i = 0; i < costs.length; i++) {
    const square = Math.max(0, squares[i]!)
    costs[i] = cost === "thousandths" ? HalfToEven.round(1000 * Math.sqrt(square)) : Math.round(square * scale)
  }
  return costs
}

/** Returns the scale that maps the largest square to 2^24. */
export const scaleOf = (squares: Float32Array | Float64Array): number => {
  let most = 0
  for (const square of squares) if (square > most) most = square
  return most === 0 ? 0 : 2 ** 24 / most
}

/** Runs balanced Lloyd iterations from the given centres. */
export const lloyd: (
  distances: SquaredDistances,
  given: Matrix.Matrix | Dense,
  start: Dense,
  options: BalancedOptions
) => Effect.Effect<BalancedClustering, SidError | TensorError> = Effect.fn("BalancedKMeans.lloyd")(
  function*(distances, given, start, options) {
    const { rows: N, width: D } = given
    const K = start.rows
    const problem = BalancedAssignment.problemOf(N, K, options.bounds)
    if (problem !== undefined) return yield* problem
    const mean = new Float64Array(D)
    for (let i = 0; i < given.data.length; i++) mean[i % D] = mean[i % D]! + given.data[i]! / N
    const centred = Float64Array.from(given.data, (value, i) => value - mean[i % D]!)
    const rows: Dense = { rows: N, width: D, data: centred }
    let variance = 0
    for (const value of centred) variance += value * value / (N * D)
    let centres: Dense = { rows: K, width: D, data: start.data.map((value, i) => value - mean[i % D]!) }
    let prices: Float64Array | undefined
    let scale: number | undefined
    const assign = Effect.fnUntraced(function*(to: Dense) {
      const squares = yield* distances(rows, to)
      // One scale for all iterations, so that prices keep their meaning.
      scale ??= scaleOf(squares)
      const costs = costsOf(squares, options.cost, scale)
      const found = BalancedAssignment.solve(costs, N, K, options.bounds, prices)
      prices = found.prices
      let inertia = 0
      for (let r = 0; r < N; r++) inertia += Math.max(0, squares[r * K + found.labels[r]!]!)
      return { ...found, inertia }
    })
    const trace: Array<BalancedClustering["trace"][number]> = []
    let best: { readonly labels: Int32Array; readonly centres: Dense; readonly inertia: number } | undefined
    let shift = 0
    while (trace.length < options.maximumIterations) {
      const { cost, inertia, labels } = yield* assign(centres)
      const data = new Float64Array(K * D)
      const counts = new Float64Array(K)
      for (let r = 0; r < N; r++) {
        counts[labels[r]!]!++
        for (let d = 0; d < D; d++) data[labels[r]! * D + d] = data[labels[r]! * D + d]! + centred[r * D + d]!
      }
      for (let i = 0; i < data.length; i++) {
        const count = counts[Math.floor(i / D)]!
        data[i] = count === 0 ? centres.data[i]! : data[i]! / count
      }
      shift = 0
      for (let i = 0; i < data.length; i++) shift += (data[i]! - centres.data[i]!) ** 2
      centres = { rows: K, width: D, data }
      trace.push({ inertia, cost, shift })
      if (best === undefined || inertia < best.inertia) best = { labels, centres, inertia }
      if (shift <= options.tolerance * variance) break
    }
    const back = (at: Dense): Dense => ({ ...at, data: at.data.map((value, i) => value + mean[i % D]!) })
    if (options.returned === "last-step") {
      const { inertia, labels } = shift > 0 ? yield* assign(centres) : best!
      return { labels, centres: back(best!.centres), inertia, iterations: trace.length, trace }
    }
    const { inertia, labels } = shift > 0 ? yield* assign(best!.centres) : best!
    return { labels, centres: back(best!.centres), inertia, iterations: trace.length, trace }
  }
)
