/**
 * How often the next item is one of the history, and what makes a model expect it as often.
 *
 * Items that were just seen resemble the next one, so a sequence model ranks them high even where nobody takes an item
 * twice. One number, added to the logits of the history's items, corrects that (its probability of a repeat becomes the
 * share of repeats in the training sequences), as RepeatNet (Ren et al. 2019) does by a mode of its own.
 */
import * as Effect from "effect/Effect"
import { type History } from "../../../catalog/History.ts"
import { type Scorer } from "../Scorer.ts"
import { type ScorerError } from "../ScorerError.ts"

/** Returns the share of targets that stand among the `window` items before them, with half a repeat added to the count. */
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

/** Computes what a scorer of probabilities lacks on histories for its mean mass on their items to be `expected`. */
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
