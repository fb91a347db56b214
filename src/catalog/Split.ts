/**
 * Leave-one-out: the last event of a user is the test target, the one before it the validation target, the rest trains.
 *
 * The validation item belongs to the test history. Users with fewer than three events only train.
 */
import { type Dataset } from "./Dataset.ts"

/** A prediction to be made: what came after a history. */
export interface Example {
  readonly user: number
  readonly history: Int32Array
  readonly target: number
}

/** The parts. */
export interface Split {
  readonly name: "leave-one-out"
  /** Training events of each user, oldest first. */
  readonly train: ReadonlyArray<Int32Array>
  readonly validation: ReadonlyArray<Example>
  readonly test: ReadonlyArray<Example>
}

/** Splits a data set. */
export const leaveOneOut = (dataset: Dataset): Split => {
  const train: Array<Int32Array> = []
  const validation: Array<Example> = []
  const test: Array<Example> = []
  for (const [user, items] of dataset.sequences.entries()) {
    const last = items.length - 1
    if (last < 2) {
      train.push(items)
      continue
    }
    train.push(items.subarray(0, last - 1))
    validation.push({ user, history: items.subarray(0, last - 1), target: items[last - 1]! })
    test.push({ user, history: items.subarray(0, last), target: items[last]! })
  }
  return { name: "leave-one-out", train, validation, test }
}
