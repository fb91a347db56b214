/**
 * Agreement of items with common SID prefixes in category, brand and users.
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { type Item } from "../catalog/Dataset.ts"
import { type SidIndex } from "../sid/SidIndex.ts"
import * as Trie from "../sid/trie/Trie.ts"
import * as Random from "../statistics/Random.ts"

/** A share, 0 to 1, or NaN, which is null in JSON. */
const Share = Schema.NullOr(Schema.Finite).pipe(
  Schema.decodeTo(
    Schema.Number,
    SchemaTransformation.transform({
      decode: (share) => share ?? Number.NaN,
      encode: (share) => (Number.isNaN(share) ? null : share)
    })
  )
)

/** Shares of pairs of items that agree in an attribute; NaN where no pair has the attribute. */
export const Agreement = Schema.Struct({
  /** Number of first codes that the items of a pair have in common; 0 for pairs of the whole catalogue. */
  prefix: Schema.Int,
  /** Number of distinct pairs with such a prefix. */
  pairs: Schema.Int,
  /** Share with the same finest category. */
  category: Share,
  brand: Share,
  /** Share with at least one training user in common. */
  buyers: Share
})

/** @see Agreement */
export type Agreement = typeof Agreement.Type

const sampled = 20_000

/** Returns the training users of each item, in ascending order. */
const buyersOf = (train: ReadonlyArray<Int32Array>, items: number): ReadonlyArray<ReadonlyArray<number>> => {
  const buyers = Array.from({ length: items }, (): Array<number> => [])
  for (const [user, sequence] of train.entries()) {
    for (const item of new Set(sequence)) buyers[item]!.push(user)
  }
  return buyers
}

const meet = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean => {
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) return true
    if (a[i]! < b[j]!) i++
    else j++
  }
  return false
}

/** Estimates the agreement of pairs with 0 .. L-1 common codes from pairs drawn uniformly; a function of the seed. */
export const measure = (
  index: SidIndex,
  items: ReadonlyArray<Item>,
  train: ReadonlyArray<Int32Array>,
  seed: number
): ReadonlyArray<Agreement> => {
  const { trie } = index
  const buyers = buyersOf(train, items.length)
  // Items in the order of the trie, so that those below a node are contiguous.
  const order = new Int32Array(items.length)
  const from = new Int32Array(trie.nodes)
  const below = Trie.itemsBelow(trie)
  let filled = 0
  const visit = (node: number): void => {
    from[node] = filled
    for (const item of Trie.items(trie, node)) order[filled++] = item
    for (const child of Trie.childNodes(trie, node)) visit(child)
  }
  visit(0)
  return Array.from({ length: index.levels }, (_, prefix) => {
    const next = Random.uniform(seed, 0x9a12, prefix)
    const nodes: Array<number> = []
    const upTo: Array<number> = []
    let pairs = 0
    for (let node = trie.levelStart[prefix]!; node < trie.levelStart[prefix + 1]!; node++) {
      if (below[node]! < 2) continue
      pairs += below[node]! * (below[node]! - 1) / 2
      nodes.push(node)
      upTo.push(pairs)
    }
    const drawn = Math.min(sampled, 4 * pairs)
    const tally = { category: [0, 0], brand: [0, 0], buyers: [0, 0] }
    const count = (kind: keyof typeof tally, agree: boolean) => {
      tally[kind][0]! += agree ? 1 : 0
      tally[kind][1]!++
    }
    for (let i = 0; i < drawn; i++) {
      const at = next() * pairs
      let [low, high] = [0, upTo.length - 1]
      while (low < high) {
        const middle = (low + high) >> 1
        if (upTo[middle]! > at) high = middle
        else low = middle + 1
      }
      const node = nodes[low]!
      const a = Math.floor(next() * below[node]!)
      const shift = 1 + Math.floor(next() * (below[node]! - 1))
      const [x, y] = [order[from[node]! + a]!, order[from[node]! + (a + shift) % below[node]!]!]
      const [one, other] = [items[x]!, items[y]!]
      const [c, d] = [one.categories.at(-1), other.categories.at(-1)]
      if (c !== undefined && d !== undefined) count("category", c === d)
      if (one.brand !== "" && other.brand !== "") count("brand", one.brand === other.brand)
      count("buyers", meet(buyers[x]!, buyers[y]!))
    }
    const share = ([agree, all]: ReadonlyArray<number>) => agree! / all!
    return {
      prefix,
      pairs,
      category: share(tally.category),
      brand: share(tally.brand),
      buyers: share(tally.buyers)
    }
  })
}
