/**
 * k-means: k-means++ starts and Lloyd's iterations.
 *
 * Nearest centres are found by the tensor engine, `argmax_k x.c_k - |c_k|^2 / 2`, block by block; sums of members are
 * kept in float64. An empty cluster takes the row farthest from its centre, as scikit-learn does.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Matrix, take } from "../../matrix/Matrix.ts"
import * as Progress from "../../run/Progress.ts"
import * as Random from "../../statistics/Random.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import { TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as KMeansPlusPlus from "./KMeansPlusPlus.ts"

/** Labels of rows and their squared distances to the centre. */
export interface Assignment {
  readonly labels: Int32Array
  readonly distances: Float64Array
}

/** Function that finds the nearest centre of every row; ties go to the lowest number. */
export type Assign = (rows: Matrix, centres: Matrix) => Effect.Effect<Assignment, TensorError>

const program = TensorProgram.make({
  name: "kmeans.assign",
  inputs: { rows: TensorProgram.float32("N", "D"), centres: TensorProgram.float32("K", "D") },
  body: ({ centres, rows }) => {
    const half = centres.square().sum(1).mul(-0.5)
    const scores = rows.matMul(centres as tf.Tensor2D, false, true).add(half)
    return { labels: scores.argMax(1), best: scores.max(1) }
  }
})

const block = 16_384

/** Squared lengths of rows; asked for again and again with the same rows. */
const squaredLengths = (): (rows: Matrix) => Float64Array => {
  const known = new WeakMap<Matrix, Float64Array>()
  return (rows) => {
    const kept = known.get(rows)
    if (kept !== undefined) return kept
    const { data, width } = rows
    const lengths = new Float64Array(rows.rows)
    for (let r = 0, at = 0; r < lengths.length; r++) {
      let sum = 0
      for (const end = at + width; at < end; at++) sum += data[at]! * data[at]!
      lengths[r] = sum
    }
    known.set(rows, lengths)
    return lengths
  }
}

/** Compiles the engine's nearest-centre search. */
export const assigner: Effect.Effect<Assign, TensorError, TensorRuntime | Scope.Scope> = Effect.gen(function*() {
  const runtime = yield* TensorRuntime
  const executable = yield* runtime.compile(program)
  const lengthsOf = squaredLengths()
  return Effect.fnUntraced(function*(rows: Matrix, centres: Matrix) {
    const labels = new Int32Array(rows.rows)
    const distances = new Float64Array(rows.rows)
    const lengths = lengthsOf(rows)
    const fed = TensorProgram.hostFloat32(centres.data, centres.rows, centres.width)
    for (let at = 0; at < rows.rows; at += block) {
      const count = Math.min(block, rows.rows - at)
      const part = rows.data.subarray(at * rows.width, (at + count) * rows.width)
      yield* Effect.scoped(Effect.gen(function*() {
        const out = yield* executable.run({ rows: TensorProgram.hostFloat32(part, count, rows.width), centres: fed })
        labels.set((yield* out.labels.read).data as Int32Array, at)
        const best = (yield* out.best.read).data
        for (let i = 0; i < count; i++) distances[at + i] = Math.max(0, lengths[at + i]! - 2 * best[i]!)
      }))
    }
    return { labels, distances }
  })
})

/** Result of Lloyd's iterations. */
export interface Clustering extends Assignment {
  readonly centres: Matrix
  /** Sum of squared distances to the centres. */
  readonly inertia: number
  readonly iterations: number
}

/** Settings of the iterations. */
export interface LloydOptions {
  readonly maximumIterations: number
  /** Stops when the centres move less than this times the mean variance of a component, squared and summed. */
  readonly tolerance: number
}

/** Sums of the members of clusters. From one iteration to the next only the rows that changed sides are added again. */
interface Members {
  readonly labels: Int32Array
  readonly counts: Int32Array
  readonly sums: Float64Array
}

const noMembers = (rows: number, k: number, width: number): Members => ({
  labels: new Int32Array(rows).fill(-1),
  counts: new Int32Array(k),
  sums: new Float64Array(k * width)
})

const follow = ({ counts, labels: held, sums }: Members, { data, rows, width }: Matrix, labels: Int32Array): void => {
  for (let r = 0, from = 0; r < rows; r++, from += width) {
    const [before, label] = [held[r]!, labels[r]!]
    if (label === before) continue
    held[r] = label
    counts[label]!++
    const to = label * width
    for (let d = 0; d < width; d++) sums[to + d]! += data[from + d]!
    if (before < 0) continue
    counts[before]!--
    const left = before * width
    for (let d = 0; d < width; d++) sums[left + d]! -= data[from + d]!
  }
}

/** Means of the members; an empty cluster takes the row that lies farthest from its own centre. */
const update = (rows: Matrix, { distances, labels }: Assignment, members: Members): Matrix => {
  const { data: values, width } = rows
  follow(members, rows, labels)
  const k = members.counts.length
  const counts = members.counts.slice()
  const sums = members.sums.slice()
  const empty = Array.from(counts.keys()).filter((label) => counts[label] === 0)
  if (empty.length > 0) {
    const farthest = Array.from(distances.keys()).toSorted((a, b) => distances[b]! - distances[a]! || a - b)
    for (const [i, label] of empty.entries()) {
      const r = farthest[i]!
      if (distances[r] === 0) break
      const donor = labels[r]!
      counts[donor]!--
      counts[label] = 1
      for (let d = 0; d < width; d++) {
        const value = values[r * width + d]!
        sums[donor * width + d] = sums[donor * width + d]! - value
        sums[label * width + d] = value
      }
    }
  }
  const largest = counts.indexOf(counts.reduce((a, b) => Math.max(a, b), 0))
  const data = new Float32Array(k * width)
  for (let label = 0; label < k; label++) {
    const source = counts[label]! > 0 ? label : largest
    const count = counts[source]!
    for (let d = 0; d < width; d++) data[label * width + d] = sums[source * width + d]! / count
  }
  return { rows: k, width, data }
}

const meanVariance = ({ data, rows, width }: Matrix): number => {
  const sums = new Float64Array(width)
  let squares = 0
  for (let at = 0; at < data.length; at += width) {
    for (let d = 0; d < width; d++) {
      const value = data[at + d]!
      sums[d]! += value
      squares += value * value
    }
  }
  return (squares - sums.reduce((total, sum) => total + sum * sum / rows, 0)) / (rows * width)
}

/** Runs Lloyd's iterations from the given centres until the labels repeat or the centres move less than the tolerance. */
export const lloyd: (
  assign: Assign,
  rows: Matrix,
  start: Matrix,
  options: LloydOptions
) => Effect.Effect<Clustering, TensorError> = Effect.fn("KMeans.lloyd")(function*(assign, rows, start, options) {
  const tolerance = options.tolerance * meanVariance(rows)
  let centres = start
  let assignment = yield* assign(rows, centres)
  let iterations = 0
  const members = noMembers(rows.rows, centres.rows, rows.width)
  const tracker = (yield* Progress.orSilent).part("k-means", options.maximumIterations, "iterations")
  while (iterations < options.maximumIterations) {
    const moved = update(rows, assignment, members)
    tracker.update(iterations++)
    let shift = 0
    for (let i = 0; i < moved.data.length; i++) shift += (moved.data[i]! - centres.data[i]!) ** 2
    centres = moved
    const before = assignment.labels
    assignment = yield* assign(rows, centres)
    if (shift <= tolerance || assignment.labels.every((label, r) => label === before[r])) break
  }
  tracker.finish()
  return { ...assignment, centres, inertia: assignment.distances.reduce((a, b) => a + b, 0), iterations }
})

/**
 * Passes over all rows once in random order, a batch at a time: every centre moves to the running mean of the rows
 * assigned to it, those that it stood for at the start included (Sculley 2010).
 */
export const miniBatch: (
  assign: Assign,
  rows: Matrix,
  start: Matrix,
  stoodFor: ArrayLike<number>,
  batch: number,
  seed: number
) => Effect.Effect<Matrix, TensorError> = Effect.fn("KMeans.miniBatch")(
  function*(assign, rows, start, stoodFor, batch, seed) {
    const { rows: K, width } = start
    const centres = Float64Array.from(start.data)
    const counts = Float64Array.from(stoodFor)
    const order = Random.permutation(rows.rows, seed, 0x3b)
    const tracker = (yield* Progress.orSilent).part("mini-batch k-means", rows.rows, "rows")
    for (let from = 0; from < order.length; from += batch) {
      tracker.update(from)
      const part = take(rows, order.subarray(from, from + batch))
      const { labels } = yield* assign(part, { rows: K, width, data: Float32Array.from(centres) })
      for (let r = 0; r < part.rows; r++) {
        const to = labels[r]! * width
        const rate = 1 / ++counts[labels[r]!]!
        for (let d = 0; d < width; d++) centres[to + d]! += rate * (part.data[r * width + d]! - centres[to + d]!)
      }
    }
    tracker.finish()
    return { rows: K, width, data: Float32Array.from(centres) }
  }
)

/** Iterations by which several starts are compared; the best one goes on. */
const shortRun = 6

/** Settings of a whole clustering. */
export interface TrainOptions extends LloydOptions {
  readonly starts: number
  readonly seed: number
  /** Rows per centre that the iterations see, drawn from the seed; Infinity for all. faiss takes 256. */
  readonly rowsPerCentre: number
  /** Rows that the k-means++ start chooses from. */
  readonly seedRows: number
  /** Rows of a mini-batch in a pass over all rows that follows iterations on a part of them; 0 for no pass. */
  readonly miniBatch: number
}

/** Clusters rows: compares starts after a few iterations and finishes the best one; labels are those of the nearest centres. */
export const train: (
  rows: Matrix,
  k: number,
  options: TrainOptions
) => Effect.Effect<Clustering, TensorError, TensorRuntime | Scope.Scope> = Effect.fn("KMeans.train")(
  function*(rows, k, options) {
    const assign = yield* assigner
    const seed = yield* KMeansPlusPlus.seeder
    const most = options.rowsPerCentre * k
    const seen = rows.rows <= most
      ? rows
      : take(rows, Random.permutation(rows.rows, options.seed, 0x5a3e).subarray(0, most))
    let best: Clustering | undefined
    for (let start = 0; start < options.starts; start++) {
      const centres = yield* seed(seen, k, options.seedRows, options.seed, 0x4b, start)
      const maximumIterations = options.starts === 1
        ? options.maximumIterations
        : Math.min(shortRun, options.maximumIterations)
      const found = yield* lloyd(assign, seen, centres, { ...options, maximumIterations })
      if (best === undefined || found.inertia < best.inertia) best = found
    }
    if (options.starts > 1 && options.maximumIterations > shortRun) {
      best = yield* lloyd(assign, seen, best!.centres, {
        ...options,
        maximumIterations: options.maximumIterations - shortRun
      })
    }
    if (seen === rows) return best!
    const counts = new Float64Array(k)
    for (const label of best!.labels) counts[label]!++
    const centres = options.miniBatch === 0
      ? best!.centres
      : yield* miniBatch(assign, rows, best!.centres, counts, options.miniBatch, options.seed)
    const all = yield* assign(rows, centres)
    return { ...best!, ...all, centres, inertia: all.distances.reduce((a, b) => a + b, 0) }
  }
)
