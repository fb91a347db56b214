/**
 * A penalty on popular items: `-log(1 + n) / log(1 + n_max)` for n training events of the candidate and n_max of the most
 * popular item. It is 0 for an item never seen and -1 for the most popular one, as for a candidate that is no item, so
 * that writing none is no way out. It is the negative self-information of a recommendation (Zhou et al. 2010), turned
 * and scaled to 0 .. 1. Differs from the paper: log(1 + n), so that an unseen item has a finite value.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Reward } from "./Reward.ts"

/** Provides the reward; `counts` are the training events of items 0 .. N-1. */
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
