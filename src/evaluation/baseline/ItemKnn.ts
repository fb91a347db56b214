/**
 * Baseline that scores items by windowed co-occurrence with the latest items of the history (item k-nearest
 * neighbours).
 *
 * For positions i < j <= i + 10 of a training sequence with x = s_i, y = s_j, x != y, and w = (17 - (j - i)) / 16:
 * `C[x][y] += w` and `C[y][x] += w / 2`. With n_x the training occurrences of x, item y scores
 * `sum_p 2^-floor(p / 2) C[x_p][y] / sqrt(n_x_p sqrt(n_y))` over the last 20 items x_p of the history, p = 0 the last.
 */
import * as Scorer from "./Scorer.ts"

const window = 10
const recent = 20

/** Fits the scorer to training sequences of items 0 .. N-1, where N is `items`. */
export const fit = (train: ReadonlyArray<Int32Array>, items: number): Scorer.Scorer => {
  const occurrences = new Float64Array(items)
  const neighbours = Array.from({ length: items }, () => new Map<number, number>())
  const add = (x: number, y: number, weight: number) => neighbours[x]!.set(y, (neighbours[x]!.get(y) ?? 0) + weight)
  for (const sequence of train) {
    for (const [i, x] of sequence.entries()) {
      occurrences[x]!++
      for (let j = i + 1; j <= Math.min(i + window, sequence.length - 1); j++) {
        const y = sequence[j]!
        if (x === y) continue
        const weight = (17 - (j - i)) / 16
        add(x, y, weight)
        add(y, x, weight / 2)
      }
    }
  }
  return Scorer.make("item-knn", items, ({ items: history }, row) => {
    for (let p = 0; p < Math.min(recent, history.length); p++) {
      const x = history[history.length - 1 - p]!
      const decay = 2 ** -Math.floor(p / 2)
      for (const [y, count] of neighbours[x]!) {
        row[y] = row[y]! + decay * (count / Math.sqrt(occurrences[x]! * Math.sqrt(occurrences[y]!)))
      }
    }
  })
}
