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

/** Returns the feed of `inputs` for the feeds of rows over a catalogue of N items, and classes [S]. */
export const feeds = (
  rowFeeds: Readonly<Record<string, HostTensor>>,
  { data: classes }: HostTensor,
  catalogue: number
): Record<string, HostTensor> => {
  const items = rowFeeds["items"]!.data
  const segments = rowFeeds["segments"]!.data
  const [rows, length] = rowFeeds["items"]!.shape as [number, number]
  // Item N stands for the beginning of a sequence and is never a class.
  const classOf = new Int32Array(catalogue + 1).fill(-1)
  for (const [s, item] of classes.entries()) classOf[item] = s
  const marks = new Float32Array(items.length * classes.length)
  for (let m = 0; m < items.length; m++) {
    if (segments[m]! < 0) continue
    const first = m - m % length
    for (let at = m; at >= first && segments[at] === segments[m]; at--) {
      const s = classOf[items[at]!]!
      if (s >= 0) marks[m * classes.length + s] = 1
    }
  }
  return { repeats: hostFloat32(marks, rows, length, classes.length) }
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
