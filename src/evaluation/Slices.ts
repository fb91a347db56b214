/**
 * Slices of the test users: by the popularity of the target, and by whether the transition from the last item of the
 * history to the target occurs in training.
 */
import { type Example } from "../catalog/Split.ts"

/** Named subset of the examples. */
export interface Slice {
  readonly name: string
  /** Places in the list of examples, ascending. */
  readonly examples: Int32Array
  /** Fewest and most training events of the targets, for a popularity slice that is not empty. */
  readonly counts?: readonly [number, number] | undefined
}

/** Counts the training events of each of N items, [N]. */
export const occurrences = (train: ReadonlyArray<Int32Array>, items: number): Int32Array => {
  const counts = new Int32Array(items)
  for (const sequence of train) for (const item of sequence) counts[item]!++
  return counts
}

const select = (examples: ReadonlyArray<Example>, has: (example: Example, at: number) => boolean): Int32Array =>
  Int32Array.from(examples.flatMap((example, at) => has(example, at) ? [at] : []))

/**
 * Splits examples into quartiles by the training events of their targets, least popular first.
 *
 * Targets with the same number of events are in one quartile, that of the mean of their ranks; quartiles are therefore
 * only approximately equal in size, and one may be empty.
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

/** Splits examples by whether a training sequence has the target directly after the last item of the history. */
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

/** Returns the quartiles of popularity, least popular first, then seen and unseen transitions. */
export const all = (
  examples: ReadonlyArray<Example>,
  train: ReadonlyArray<Int32Array>,
  items: number
): ReadonlyArray<Slice> => [...quartiles(examples, train, items), ...transitions(examples, train, items)]
