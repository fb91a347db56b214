/**
 * Prefix hints: candidates are drawn below the first codes of the answer.
 *
 * If the answer is never found, all candidates have the same reward and nothing is learned; below a prefix of the
 * answer rewards are more likely to differ. The codes of the hint were not drawn from the policy and carry no gradient.
 */
import * as LeafSpace from "../../sid/trie/LeafSpace.ts"
import * as Random from "../../statistics/Random.ts"

/** Hint of a prompt. */
export interface Hint {
  /** Leaves below the prefix. */
  readonly space: LeafSpace.LeafSpace
  /** Number of codes of the prefix, h; 0 without a hint. */
  readonly forced: number
}

/**
 * Draws the hint of a prompt: with probability `share` the first h codes of the answer, h uniform from 1 to the steps
 * of the answer less one; no hint if the answer is not allowed or has only one step.
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
