/**
 * Baseline that recommends the items with the most training events.
 */
import * as Scorer from "./Scorer.ts"

/** Counts training events of items 0 .. N-1, [N]. */
export const count = (train: ReadonlyArray<Int32Array>, items: number): Float64Array => {
  const counts = new Float64Array(items)
  for (const sequence of train) for (const item of sequence) counts[item]!++
  return counts
}

/** Makes the scorer of the training events of items 0 .. N-1. */
export const fit = (train: ReadonlyArray<Int32Array>, items: number): Scorer.Scorer => {
  const counts = count(train, items)
  return Scorer.make("popularity", items, (_, row) => row.set(counts))
}
