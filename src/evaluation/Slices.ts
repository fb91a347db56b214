/**
 * Parts of the test users that are measured apart: by how popular their target is, and by whether it follows the last
 * item of the history in training.
 */
import { type Example } from "../catalog/Split.ts"

/** Some of the examples. */
export interface Slice {
  readonly name: string
  /** Positions in the list of examples, ascending. */
  readonly examples: Int32Array
  /** Least and most training events of their targets, where the slice is one of popularity. */
  readonly counts?: readonly [number, number] | undefined
}

/** Counts the training events of each of N items. */
export const occurrences = (train: ReadonlyArray<Int32Array>, items: number): Int32Array => {
  const counts = new Int32Array(items)
  for (const sequence of train) for (const item of sequence) counts[item]!++
  return counts
}

const select = (examples: ReadonlyArray<Example>, has: (example: Example, at: number) => boolean): Int32Array =>
  Int32Array.from(examples.flatMap((example, at) => has(example, at) ? [at] : []))

/**
 * Splits examples into quartiles of their targets' training events, coldest first.
 *
 * Targets with the same number of events stand in one quartile, that of the middle of their ranks; so quartiles are of
 * equal size as far as that allows, and one may be empty.
 */
export const quartiles = (
  examples: ReadonlyArray<Example>,
  train: ReadonlyArray<Int32Array>,
  items: number
): ReadonlyArray<Slice> => {
  const counts = occurrences(train, items)
  const sorted = Int32Array.from(examples, ({ target }) => counts[target]!).toSorted()
  const quartileOf = new Map<number, number>()
  for (let from = 0, to = 0; from < sorted.length; from = to) {
    while (to < sorted.length && sorted[to] === sorted[from]) to++
    quartileOf.set(sorted[from]!, Math.min(3, Math.floor(4 * (from + to - 1) / 2 / sorted.length)))
  }
  return [0, 1, 2, 3].map((quartile) => {
    const own = sorted.filter((count) => quartileOf.get(count) === quartile)
    return {
      name: `quartile ${quartile + 1}`,
      examples: select(examples, ({ target }) => quartileOf.get(counts[target]!) === quartile),
      ...(own.length === 0 ? {} : { counts: [own[0]!, own.at(-1)!] as const })
    }
  })
}

/** Splits examples by whether a training sequence has the target right after the history's last item. */
export const transitions = (
  examples: ReadonlyArray<Example>,
  train: ReadonlyArray<Int32Array>,
  items: number
): ReadonlyArray<Slice> => {
  const key = (item: number, next: number) => item * items + next
  const known = new Set<number>()
  for (const sequence of train) for (let i = 1; i < sequence.length; i++) known.add(key(sequence[i - 1]!, sequence[i]!))
  const isSeen = ({ history, target }: Example) => history.length > 0 && known.has(key(history.at(-1)!, target))
  return [
    { name: "seen", examples: select(examples, isSeen) },
    { name: "unseen", examples: select(examples, (example) => !isSeen(example)) }
  ]
}

/** The quartiles of popularity, coldest first, then seen and unseen transitions. */
export const all = (
  examples: ReadonlyArray<Example>,
  train: ReadonlyArray<Int32Array>,
  items: number
): ReadonlyArray<Slice> => [...quartiles(examples, train, items), ...transitions(examples, train, items)]
