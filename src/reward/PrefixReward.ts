/**
 * Partial credit for leading codes shared with the target's SID: with m shared codes and level weights w, the reward is
 * `sum_(l < m) w_l / sum_(l < longest) w_l`, where `longest` is the length of the longer of both SIDs; 0 for a
 * candidate that is no item. Only the target's own SID has the reward 1. Hierarchical prefix rewards follow MiniOneRec:
 * its 0.2, 0.5 and 1 for 1, 2 and 3 shared levels are the weights 0.2, 0.3, 0.5.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type SidIndex } from "../sid/SidIndex.ts"
import { Sids } from "../sid/Sids.ts"
import { failed, Reward, type RewardError } from "./Reward.ts"

/** Returns the codes of an item, [L]; throws a `RangeError` for an item that is not in the index. */
export const codesOf = ({ sids }: SidIndex, item: number): Int32Array => {
  const codes = sids[item]
  if (codes === undefined) throw new RangeError(`item ${item} has no SID: the index holds ${sids.length} items`)
  return codes
}

/** Returns how many leading codes two SIDs share. */
export const shared = (a: Int32Array, b: Int32Array): number => {
  let level = 0
  while (level < a.length && level < b.length && a[level] === b[level]) level++
  return level
}

/**
 * Provides the reward. `weights` has one finite number above 0 per level, [L], by default 1 for each level, which makes
 * the reward the share of shared codes. Fails if the number of weights is not the number of levels or a weight is out
 * of range.
 */
export const layer = ({ weights }: { readonly weights?: ReadonlyArray<number> | undefined } = {}): Layer.Layer<
  Reward,
  RewardError,
  Sids
> =>
  Layer.unwrap(Effect.gen(function*() {
    const { index } = yield* Sids
    if (weights !== undefined && (weights.length !== index.levels || !weights.every((w) => w > 0 && w < Infinity))) {
      return yield* failed(
        "prefix",
        `its weights are ${
          JSON.stringify(weights)
        }; set one finite number above 0 for each of the ${index.levels} levels`
      )
    }
    const sums = [0]
    for (let level = 0; level < index.levels; level++) sums.push(sums[level]! + (weights?.[level] ?? 1))
    return Reward.layer("prefix", ({ items, target }) => {
      if (target < 0) return null
      const wanted = codesOf(index, target)
      return Array.from(items, (item) => {
        if (item < 0) return 0
        const codes = codesOf(index, item)
        return sums[shared(codes, wanted)]! / sums[Math.max(codes.length, wanted.length)]!
      })
    })
  }))
