/**
 * The baseline that recommends what was bought most in training.
 */
import * as Scorer from "./Scorer.ts"

/** Counts training events of items 0 .. N-1. */
export const fit = (train: ReadonlyArray<Int32Array>, items: number): Scorer.Scorer => {
  const counts = new Float64Array(items)
  for (const sequence of train) for (const item of sequence) counts[item]!++
  return Scorer.make("popularity", items, (_, row) => row.set(counts))
}
