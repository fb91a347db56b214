/**
 * Times of the events of a history as inputs of its positions: the gap to the event before, and the age of the item.
 *
 * Both are buckets of the logarithm, each with a vector that is added to the state of its position. A position sees the
 * times of its own event and of earlier ones only, never that of the event to be predicted. All vectors begin at 0, so
 * that a new policy equals one without times.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import { hostInt32, type HostTensor, int32, type TensorSpec } from "../../tensor/TensorProgram.ts"
import { type ItemRows } from "./ItemRows.ts"

/** Times that a policy reads: none, gaps between events, or gaps and the ages of items. */
export const TimeInputs = Schema.Literals(["none", "gaps", "gaps-and-ages"]).pipe(
  Schema.withDecodingDefaultKey(Effect.succeed("none" as const))
)

/** Times that a policy reads. */
export type TimeInputs = typeof TimeInputs.Type

/** Events of one user, oldest first, with their times if they are known. */
export interface Events {
  /** Item numbers, [H]. */
  readonly items: Int32Array
  /** Times in ms since 1970 or in the unit of the data, [H]; NaN where one is not known. @default not known */
  readonly times?: Float64Array | undefined
}

/** Number of buckets of durations. */
export const buckets = 48

/** Buckets of what is no duration: no event before, and a time that is not known. */
const [first, unknown] = [0, 1]

/** Bucket of durations below 1; the following ones begin at 1, 2, 4, 8 and so on. */
const shortest = 2

/** Returns the bucket of a duration in the unit of the times: one for every power of 2, and one for NaN. */
export const bucketOf = (duration: number): number => {
  if (Number.isNaN(duration)) return unknown
  return duration < 1 ? shortest : Math.min(buckets - 1, shortest + 1 + Math.floor(Math.log2(duration)))
}

const gap = { input: "times.gaps", name: "item.gap.weight" }
const age = { input: "times.ages", name: "item.age.weight" }

const partsOf = (kind: TimeInputs) => kind === "none" ? [] : kind === "gaps" ? [gap] : [gap, age]

/** Returns the names, shapes and initial values of the vectors of the buckets, [buckets, D] each. */
export const parameters = (kind: TimeInputs, width: number): ParameterSpecs =>
  Object.fromEntries(partsOf(kind).map(({ name }) => [name, { shape: [buckets, width], initialize: () => {} }]))

/** Returns the inputs of the positions of packed rows: the buckets of each. */
export const inputs = (kind: TimeInputs, length: number | string): Record<string, TensorSpec> =>
  Object.fromEntries(partsOf(kind).map(({ input }) => [input, int32("B", length)]))

/**
 * Returns the feeds of histories that are packed into rows. `firstTimes` are the times of the first training event of
 * every item, [N]; without them no age is known.
 */
export const feeds = (
  kind: TimeInputs,
  { length, rows, starts }: ItemRows,
  histories: ReadonlyArray<Events>,
  firstTimes: Float64Array | undefined
): Record<string, HostTensor> => {
  if (kind === "none") return {}
  const gaps = new Int32Array(rows * length).fill(first)
  const ages = new Int32Array(rows * length).fill(first)
  for (const [s, { items, times }] of histories.entries()) {
    for (const [t, item] of items.entries()) {
      const at = starts[s]! + 1 + t
      const time = times?.[t] ?? NaN
      gaps[at] = t === 0 && !Number.isNaN(time) ? first : bucketOf(time - (times?.[t - 1] ?? NaN))
      ages[at] = bucketOf(time - (firstTimes?.[item] ?? NaN))
    }
  }
  const data = new Map([[gap, gaps], [age, ages]])
  return Object.fromEntries(partsOf(kind).map((part) => [part.input, hostInt32(data.get(part)!, rows, length)]))
}

/** Adds the vectors of the times to the states of positions [B x T, D]. */
export const add = (
  kind: TimeInputs,
  weights: Readonly<Record<string, tf.Tensor>>,
  inputs: Readonly<Record<string, tf.Tensor>>,
  states: tf.Tensor
): tf.Tensor =>
  partsOf(kind).reduce(
    (sum, { input, name }) => sum.add(tf.gather(weights[name]!, inputs[input]!.reshape([states.shape[0]!]))),
    states
  )
