/**
 * Baseline that recommends the items with the most training events.
 */
import * as Scorer from "./Scorer.ts"

/** Fits the scorer: counts the training events of items 0 .. N-1, where N is `items`. */
export const fit = (train: ReadonlyArray<Int32Array>, items: number): Scorer.Scorer => {
  const counts = new Float64Array(items)
  for (const sequence of train) for (const item of sequence) counts[item]!++
  return Scorer.make("popularity", items, (_, row) => row.set(counts))
}
