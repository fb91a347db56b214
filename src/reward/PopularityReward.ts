/**
 * Penalty on popular items: `-log(1 + n) / log(1 + n_max)`, with n training events of the candidate and n_max of the
 * most popular item. It is 0 for an item without training events, and -1 for the most popular item and for a candidate
 * that is no item, so that generating no item does not avoid the penalty. It is the self-information of a
 * recommendation (Zhou et al. 2010), shifted and scaled to -1 .. 0. Differs from the paper: log(1 + n), so that an
 * unseen item has a finite value.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Reward } from "./Reward.ts"

/** Provides the reward; `counts` are the training events of each item, [N]. */
export const layer = ({ counts }: { readonly counts: ArrayLike<number> }): Layer.Layer<Reward> =>
  Layer.unwrap(Effect.sync(() => {
    let most = 0
    for (let item = 0; item < counts.length; item++) most = Math.max(most, counts[item]!)
    const scale = most === 0 ? 0 : 1 / Math.log1p(most)
    return Reward.layer("popularity", ({ items }) =>
      Array.from(items, (item) => {
        if (item < 0) return -1
        const count = counts[item]
        if (count === undefined) throw new RangeError(`item ${item} has no count: there are ${counts.length}`)
        return -Math.log1p(count) * scale
      }))
  }))
