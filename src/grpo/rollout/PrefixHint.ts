/**
 * Prefix hints: the first codes of the answer are given, and candidates are searched below them.
 *
 * Where the answer is never found every candidate earns the same and nothing is learned; below a prefix of it some do
 * better than others. Codes that were given were not chosen: they carry no gradient.
 */
import * as LeafSpace from "../../sid/trie/LeafSpace.ts"
import * as Random from "../../statistics/Random.ts"

/** A space below a prefix. */
export interface Hint {
  readonly space: LeafSpace.LeafSpace
  /** Codes given, h. */
  readonly forced: number
}

/**
 * Draws the hint of a prompt: with probability `share` the first h codes of the answer, h even from 1 to one step less
 * than the answer has; no hint where the answer is not allowed or has one step only.
 */
export const draw = (
  space: LeafSpace.LeafSpace,
  target: number,
  share: number,
  key: ReadonlyArray<number>
): Hint => {
  const leaf = space.leaf(target)
  const next = Random.uniform(...key, 0x417)
  if (leaf < 0 || !(next() < share)) return { space, forced: 0 }
  const path = LeafSpace.path(space, leaf)
  const most = path.length + (space.whole.childCount(leaf) > 0 ? 1 : 0) - 1
  if (most === 0) return { space, forced: 0 }
  const forced = 1 + Math.floor(next() * most)
  return { space: LeafSpace.below(space, path[forced - 1]!), forced }
}
