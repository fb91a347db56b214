/**
 * Baseline that scores items by windowed co-occurrence with the latest items of the history (item k-nearest
 * neighbours).
 *
 * For positions i < j <= i + 10 of a training sequence with x = s_i, y = s_j, x != y, and w = (17 - (j - i)) / 16:
 * `C[x][y] += w` and `C[y][x] += w / 2`. With n_x the training occurrences of x, item y scores
 * `sum_p 2^-floor(p / 2) C[x_p][y] / sqrt(n_x_p sqrt(n_y))` over the last 20 items x_p of the history, p = 0 the last.
 */
import * as Popularity from "./Popularity.ts"
import * as Scorer from "./Scorer.ts"

const window = 10
const recent = 20

/** Options of the baseline. */
export interface ItemKnnOptions {
  /**
   * Whether the counts that score a history exclude the user's own training sequence, number `history.user`, exactly as
   * if the baseline had been fitted without it. A teacher or a reward on training positions needs it, because the
   * counts contain their targets. Histories of a user without a training sequence are scored with all counts. @default
   * false
   */
  readonly leaveOneOut?: boolean | undefined
}

/** Calls `add` for every pair of a sequence with its weight, once in each direction. */
const pairs = (sequence: Int32Array, add: (x: number, y: number, weight: number) => void) => {
  for (let i = 0; i < sequence.length; i++) {
    const x = sequence[i]!
    for (let j = i + 1; j <= Math.min(i + window, sequence.length - 1); j++) {
      const y = sequence[j]!
      if (x === y) continue
      const weight = (17 - (j - i)) / 16
      add(x, y, weight)
      add(y, x, weight / 2)
    }
  }
}

/** Computes the counts of one sequence. */
const contribution = (sequence: Int32Array) => {
  const occurrences = new Map<number, number>()
  for (const x of sequence) occurrences.set(x, (occurrences.get(x) ?? 0) + 1)
  const neighbours = new Map<number, Map<number, number>>()
  pairs(sequence, (x, y, weight) => {
    const row = neighbours.get(x) ?? new Map<number, number>()
    neighbours.set(x, row.set(y, (row.get(y) ?? 0) + weight))
  })
  return { occurrences, neighbours }
}

/**
 * Fits the counts to training sequences of items 0 .. N-1; `items` is N.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import * as ItemKnn from "sidereal/evaluation/baseline/ItemKnn"
 *
 * const scorer = ItemKnn.fit([Int32Array.of(0, 1, 2), Int32Array.of(0, 1), Int32Array.of(3, 2)], 4)
 * const { data } = await Effect.runPromise(scorer.scores([{ user: 9, items: Int32Array.of(0) }]))
 * assert.equal(data.indexOf(Math.max(...data)), 1)
 * assert.equal(data[3], 0)
 * ```
 */
export const fit = (
  train: ReadonlyArray<Int32Array>,
  items: number,
  { leaveOneOut = false }: ItemKnnOptions = {}
): Scorer.Scorer => {
  const occurrences = Popularity.count(train, items)
  const neighbours = Array.from({ length: items }, () => new Map<number, number>())
  for (const sequence of train) {
    pairs(sequence, (x, y, weight) => neighbours[x]!.set(y, (neighbours[x]!.get(y) ?? 0) + weight))
  }
  return Scorer.make("item-knn", items, ({ items: history, user }, row) => {
    const sequence = leaveOneOut ? train[user] : undefined
    const own = sequence === undefined ? undefined : contribution(sequence)
    for (let p = 0; p < Math.min(recent, history.length); p++) {
      const x = history[history.length - 1 - p]!
      const decay = 2 ** -Math.floor(p / 2)
      const less = own?.neighbours.get(x)
      const n = occurrences[x]! - (own?.occurrences.get(x) ?? 0)
      for (const [y, all] of neighbours[x]!) {
        // Weights are multiples of 1/32, so that the difference is exact.
        const count = all - (less?.get(y) ?? 0)
        if (count === 0) continue
        const m = occurrences[y]! - (own?.occurrences.get(y) ?? 0)
        row[y] = row[y]! + decay * (count / Math.sqrt(n * Math.sqrt(m)))
      }
    }
  })
}
