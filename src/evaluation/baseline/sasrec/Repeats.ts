/**
 * Calibration of repeats: how often the next item is one of the history, and the bias that makes a model predict as
 * many.
 *
 * Recent items resemble the next one, so a sequence model ranks them high even in data without repeated items. One
 * bias, added to the logits of the history's items, makes the mean probability of a repeat equal to the share of
 * repeats in the training sequences. RepeatNet (Ren et al. 2019) has a separate repeat mode for this purpose.
 */
import * as Effect from "effect/Effect"
import { type History } from "../../../catalog/History.ts"
import { type Scorer } from "../Scorer.ts"
import { type ScorerError } from "../ScorerError.ts"

/**
 * Returns the share of targets that are among the `window` items before them, 0 to 1; half a repeat and one target are
 * added to the counts, so that the share is never 0.
 */
export const share = (sequences: ReadonlyArray<Int32Array>, window: number): number => {
  let [repeats, targets] = [0.5, 1]
  for (const items of sequences) {
    for (let at = 1; at < items.length; at++) {
      targets++
      const before = items.lastIndexOf(items[at]!, at - 1)
      if (before >= 0 && before >= at - window) repeats++
    }
  }
  return repeats / targets
}

/**
 * Finds the bias, in logits, of the items of the histories with which the mean probability of these items is
 * `expected`, by bisection between -50 and 50; 0 without histories. `scorer` returns probabilities.
 */
export const bias: (
  scorer: Scorer,
  histories: ReadonlyArray<History>,
  window: number,
  expected: number
) => Effect.Effect<number, ScorerError> = Effect.fn("Repeats.bias")(
  function*(scorer, histories, window, expected) {
    const asked = histories.filter(({ items }) => items.length > 0)
    if (asked.length === 0) return 0
    const masses: Array<number> = []
    for (let at = 0; at < asked.length; at += 64) {
      const some = asked.slice(at, at + 64)
      const { data, width } = yield* scorer.scores(some)
      for (const [i, { items }] of some.entries()) {
        let mass = 0
        for (const item of new Set(items.subarray(-window))) mass += data[i * width + item]!
        masses.push(Math.min(mass, 1 - 1e-12))
      }
    }
    const excess = (bias: number) =>
      masses.reduce((sum, mass) => {
          const raised = mass * Math.exp(bias)
          return sum + raised / (raised + 1 - mass)
        }, 0) / masses.length - expected
    let [low, high] = [-50, 50]
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2
      if (excess(middle) > 0) high = middle
      else low = middle
    }
    return (low + high) / 2
  }
)
