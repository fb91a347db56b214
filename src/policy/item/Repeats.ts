/**
 * Repeats: a learned addition to the scores of the items of the history.
 *
 * Whether people buy the same item again is a property of a shop, which similarity of items cannot express: what
 * resembles the history is likely, the history itself often impossible. One number per head is added to the scores of
 * all items of the history; a mixture of a distribution over repeats and one over new items serves this purpose in
 * RepeatNet (Ren et al. 2019).
 */
import * as tf from "@tensorflow/tfjs"
import { float32, hostFloat32, type HostTensor, type TensorSpec } from "../../tensor/TensorProgram.ts"

/** Factor of the parameters: a rate of learning that suits weights would move a logit too slowly. */
const pace = 4

/** Input of a cross-entropy over sampled items: 1 where the class is in the history of the position, [B, T, S]. */
export const inputs: Record<string, TensorSpec> = { repeats: float32("B", "T", "S") }

/** Returns the classes [S] that are in the history of each position of rows, by their feeds, [B x T], each once. */
export const classesOf = (
  rows: Readonly<Record<string, HostTensor>>,
  classes: Int32Array,
  catalogue: number
): ReadonlyArray<ReadonlyArray<number>> => {
  const items = rows["items"]!.data
  const segments = rows["segments"]!.data
  const length = rows["items"]!.shape[1]!
  // Item N stands for the beginning of a sequence and is never a class.
  const classOf = new Int32Array(catalogue + 1).fill(-1)
  for (const [s, item] of classes.entries()) classOf[item] = s
  const found: Array<ReadonlyArray<number>> = []
  for (let m = 0; m < items.length; m++) {
    const before = m % length > 0 && segments[m - 1] === segments[m] ? found[m - 1]! : []
    const own = segments[m]! < 0 ? -1 : classOf[items[m]!]!
    found.push(own < 0 || before.includes(own) ? before : [...before, own])
  }
  return found
}

/** Returns the feed of `inputs` for the classes of each position of B rows of T, of S classes. */
export const feeds = (
  found: ReadonlyArray<ReadonlyArray<number>>,
  shape: readonly [number, number],
  count: number
): Record<string, HostTensor> => {
  const marks = new Float32Array(found.length * count)
  for (const [m, own] of found.entries()) for (const s of own) marks[m * count + s] = 1
  return { repeats: hostFloat32(marks, ...shape, count) }
}

/** Computes the addition from its parameter. */
export const addition = (parameter: tf.Tensor): tf.Tensor => parameter.reshape([]).mul(tf.scalar(pace))

/** Adds the addition to the scores of the items of a history, each once. */
export const add = (scores: Float32Array | Float64Array, history: Int32Array, by: number): void => {
  for (const item of new Set(history)) scores[item] = scores[item]! + by
}

/** Returns the derivative by the addition from those by the scores of all items [N]. */
export const pull = (pulls: Float64Array, history: Int32Array): number => {
  let total = 0
  for (const item of new Set(history)) total += pulls[item]!
  return total
}
