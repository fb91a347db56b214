/**
 * Measures of a set of SIDs before any model is trained on it.
 */
import * as Schema from "effect/Schema"
import * as Trie from "./trie/Trie.ts"

/** Groups items by identical codes, in item order. */
export const groups = (sids: ReadonlyArray<Int32Array>): ReadonlyArray<ReadonlyArray<number>> => {
  const byCodes = new Map<string, Array<number>>()
  for (const [item, codes] of sids.entries()) {
    const key = codes.join(",")
    const group = byCodes.get(key)
    if (group === undefined) byCodes.set(key, [item])
    else group.push(item)
  }
  return [...byCodes.values()]
}

/** Use of the codes of one level. */
export const LevelUse = Schema.Struct({
  codes: Schema.Int,
  used: Schema.Int,
  /** `exp` of the entropy in nats of the code distribution over items: as if so many codes were used equally. */
  perplexity: Schema.Finite
})

/** @see LevelUse */
export type LevelUse = typeof LevelUse.Type

/** Figures of SIDs before the collision policy. */
export const Diagnostics = Schema.Struct({
  items: Schema.Int,
  /** Distinct SIDs. */
  distinct: Schema.Int,
  /** `(N - distinct) / N`. */
  collisionRate: Schema.Finite,
  /** Items that share their SID with another. */
  collidingItems: Schema.Int,
  levels: Schema.Array(LevelUse)
})

/** @see Diagnostics */
export type Diagnostics = typeof Diagnostics.Type

/** Measures SIDs. */
export const measure = (
  sids: ReadonlyArray<Int32Array>,
  codebookSizes: ReadonlyArray<number>
): Diagnostics => {
  const found = groups(sids)
  return {
    items: sids.length,
    distinct: found.length,
    collisionRate: (sids.length - found.length) / Math.max(1, sids.length),
    collidingItems: found.reduce((sum, group) => sum + (group.length > 1 ? group.length : 0), 0),
    levels: codebookSizes.map((codes, level) => {
      const counts = new Map<number, number>()
      let total = 0
      for (const sid of sids) {
        const code = sid[level]
        if (code === undefined) continue
        counts.set(code, (counts.get(code) ?? 0) + 1)
        total++
      }
      let entropy = 0
      for (const count of counts.values()) entropy -= count / total * Math.log(count / total)
      return { codes, used: counts.size, perplexity: Math.exp(entropy) }
    })
  }
}

/** Returns the number of nodes per level, and the mean number of children of inner nodes per level. */
export const shape = (
  trie: Trie.Trie
): { readonly nodes: ReadonlyArray<number>; readonly branching: ReadonlyArray<number> } => {
  const nodes = Array.from(
    { length: trie.depth + 1 },
    (_, level) => trie.levelStart[level + 1]! - trie.levelStart[level]!
  )
  const branching = nodes.map((_, level) => {
    let inner = 0
    for (let node = trie.levelStart[level]!; node < trie.levelStart[level + 1]!; node++) {
      if (Trie.childCount(trie, node) > 0) inner++
    }
    return inner === 0 ? 0 : nodes[level + 1]! / inner
  })
  return { nodes, branching }
}
