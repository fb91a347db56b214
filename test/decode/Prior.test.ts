import { assert, describe, it } from "@effect/vitest"
import * as Prior from "../../src/decode/Prior.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as LiveTrie from "../../src/sid/trie/LiveTrie.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as RandomPolicy from "./RandomPolicy.ts"

const close = (actual: number, expected: number, message: string) =>
  expected === 0
    ? assert.strictEqual(actual, -Infinity, message)
    : assert.closeTo(actual, Math.log(expected), 1e-9, message)

/** Compares a prior's sums with those over every allowed item. */
const check = (space: LeafSpace.LeafSpace, items: number, seed: number) => {
  const next = Random.uniform(seed, 0x3a55)
  const masses = Float64Array.from({ length: items }, () => 0.01 + next())
  const found = Prior.ofMasses(space, (item) => masses[item]!)
  const sums = new Map<number, { below: number; ending: number }>()
  for (let item = 0; item < items; item++) {
    const leaf = space.leaf(item)
    for (let node = leaf; node >= 0; node = space.parent(node)) {
      const sum = sums.get(node) ?? { below: 0, ending: 0 }
      sums.set(node, {
        below: sum.below + masses[item]!,
        ending: sum.ending + (node === leaf ? masses[item]! : 0)
      })
    }
  }
  for (const [node, { below, ending }] of sums) {
    close(found.below(node), below, `below ${node}, seed ${seed}`)
    close(found.ending(node), ending, `ending at ${node}, seed ${seed}`)
  }
}

describe("Prior.ofMasses", () => {
  it("sums the items at and below every node (brute force), whatever was asked of the space before", () => {
    for (let seed = 0; seed < 40; seed++) {
      const index = RandomPolicy.catalogue(5 + seed, 2 + seed % 5, seed)
      const items = index.sids.length
      const whole = LeafSpace.ofTrie(index.trie)
      check(whole, items, seed)
      check(whole, items, seed + 1)
      check(LeafSpace.without(whole, RandomPolicy.some(items, 0.4, seed)), items, seed)
    }
  })

  it("does so for every state of a trie that changes", () => {
    for (let seed = 0; seed < 20; seed++) {
      const index = RandomPolicy.catalogue(10 + seed, 3, seed)
      const items = index.sids.length
      const live = LiveTrie.make(index.trie)
      const before = live.snapshot()
      live.withdraw(0)
      live.insert(items, [2, 1, 0, 2])
      live.insert(items + 1, [9])
      live.insert(1, [9, 1])
      live.withdraw(2)
      for (const space of [before, live.snapshot()]) {
        check(space, items + 2, seed)
        check(LeafSpace.without(space, [3, items]), items + 2, seed)
      }
    }
  })
})
