import { assert, describe, it } from "@effect/vitest"
import { SidError } from "../../src/sid/SidError.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as LiveTrie from "../../src/sid/trie/LiveTrie.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import * as Random from "../../src/statistics/Random.ts"

/** SIDs of different lengths that share prefixes and each other; the last one is long. */
const drawn = (items: number, seed: number, size = 4, fixed = false): ReadonlyArray<ReadonlyArray<number>> => {
  const next = Random.uniform(seed)
  return Array.from(
    { length: items },
    () => Array.from({ length: fixed ? 3 : 1 + Math.floor(next() * 4) }, () => Math.floor(next() * size))
  )
}

const starts = (sid: ReadonlyArray<number>, prefix: ReadonlyArray<number>) =>
  prefix.every((code, level) => sid[level] === code)

/** All prefixes of the SIDs, and some that are none's. */
const prefixes = (sids: Iterable<ReadonlyArray<number>>): ReadonlyArray<ReadonlyArray<number>> => {
  const found = new Map<string, ReadonlyArray<number>>([["", []], ["9", [9]], ["0,9,0", [0, 9, 0]]])
  for (const sid of sids) {
    for (let length = 1; length <= sid.length; length++) found.set(sid.slice(0, length).join(","), sid.slice(0, length))
  }
  return [...found.values()]
}

/** What a set of items says by looking at all of them. */
const expected = (sids: ReadonlyMap<number, ReadonlyArray<number>>, prefix: ReadonlyArray<number>) => {
  const below = [...sids].filter(([, sid]) => starts(sid, prefix))
  return {
    codes: [...new Set(below.flatMap(([, sid]) => sid.slice(prefix.length, prefix.length + 1)))].toSorted((a, b) =>
      a - b
    ),
    items: below.flatMap(([item, sid]) => sid.length === prefix.length ? [item] : []).toSorted((a, b) => a - b),
    alive: below.length > 0
  }
}

/** Compares a space with what a set of items says, at every prefix, and every other way to ask. */
const compare = (
  space: LeafSpace.LeafSpace,
  sids: ReadonlyMap<number, ReadonlyArray<number>>,
  all: ReadonlyArray<ReadonlyArray<number>>
) => {
  for (const prefix of all) {
    const want = expected(sids, prefix)
    const node = LeafSpace.find(space, prefix)
    if (prefix.length > 0) assert.strictEqual(node >= 0, want.alive, prefix.join(","))
    if (node < 0) continue
    const children = [...LeafSpace.childNodes(space, node)]
    assert.deepStrictEqual(children.map((child) => space.code(child)), want.codes, prefix.join(","))
    assert.strictEqual(space.childCount(node), want.codes.length)
    assert.isAtMost(want.codes.length, space.width)
    assert.isAtMost(prefix.length, space.depth)
    assert.isTrue(children.every((child) => space.parent(child) === node && node < child && child < space.nodes))
    assert.deepStrictEqual([...space.items(node)], want.items, prefix.join(","))
    assert.strictEqual(space.ends(node), want.items.length > 0)
    assert.strictEqual(space.level(node), prefix.length)
    assert.deepStrictEqual(LeafSpace.path(space, node).map((step) => space.code(step)), prefix)
  }
  for (let item = 0; item < 60; item++) {
    const sid = sids.get(item)
    assert.strictEqual(space.leaf(item), sid === undefined ? -1 : LeafSpace.find(space, sid))
  }
}

describe("Trie", () => {
  for (
    const [name, size, fixed] of [["few codes", 4, false], ["codes of 16 bits", 70_000, false], [
      "one length",
      5,
      true
    ]] as const
  ) {
    it(`holds what the list of SIDs says, breadth first (brute force): ${name}`, () => {
      for (let seed = 0; seed < 20; seed++) {
        const sids = drawn(1 + 3 * seed, seed, size, fixed)
        const trie = Trie.build(sids)
        const map = new Map(sids.entries())
        assert.strictEqual(trie.nodes, prefixes(sids).length - 2)
        const below = Trie.itemsBelow(trie)
        const nodes = new Set<number>()
        for (const prefix of prefixes(sids)) {
          const want = expected(map, prefix)
          const node = Trie.find(trie, prefix)
          assert.strictEqual(node >= 0, want.alive)
          if (node < 0) continue
          nodes.add(node)
          assert.deepStrictEqual([...Trie.children(trie, node)], want.codes)
          assert.strictEqual(Trie.childCount(trie, node), want.codes.length)
          assert.deepStrictEqual([...Trie.items(trie, node)], want.items)
          assert.strictEqual(Trie.itemCount(trie, node), want.items.length)
          assert.deepStrictEqual([...Trie.codes(trie, node)], prefix)
          assert.strictEqual(Trie.level(trie, node), prefix.length)
          assert.strictEqual(Trie.parent(trie, node), prefix.length === 0 ? -1 : Trie.find(trie, prefix.slice(0, -1)))
          assert.strictEqual(below[node], [...map.values()].filter((sid) => starts(sid, prefix)).length)
        }
        assert.deepStrictEqual([...nodes].toSorted((a, b) => a - b), Array.from({ length: trie.nodes }, (_, n) => n))
        assert.deepStrictEqual([...Trie.leaves(trie)], sids.map((sid) => Trie.find(trie, sid)))
        const back = Trie.decode(Trie.encode(trie))
        assert.deepStrictEqual(back, trie)
      }
    })
  }

  it("refuses a stored trie that is none, and says why", () => {
    const bytes = Trie.encode(Trie.build(drawn(40, 3)))
    const refuses = (change: (bytes: Uint8Array) => Uint8Array, words: string) => {
      try {
        Trie.decode(change(Uint8Array.from(bytes)))
      } catch (error) {
        assert.instanceOf(error, SidError)
        assert.include(error.message, words)
        return
      }
      assert.fail(`accepted: ${words}`)
    }
    refuses((all) => all.subarray(0, all.length - 9), "bytes")
    refuses((all) => all.subarray(0, 5), "has 5 bytes")
    const at = (name: string, array: "I32" | "U8", index: number, value: number) => (all: Uint8Array) => {
      const header = Number(new DataView(all.buffer).getBigUint64(0, true))
      const entry = JSON.parse(Buffer.from(all.subarray(8, 8 + header)).toString())[name]
      new DataView(all.buffer).setInt32(
        8 + header + entry.data_offsets[0] + index * (array === "I32" ? 4 : 1),
        value,
        true
      )
      return all
    }
    refuses(at("childStart", "I32", 2, 1000), "children do not add up")
    refuses(at("itemsAt", "I32", 0, 17), "there twice")
    refuses(at("itemStart", "I32", 1, -3), "items do not add up")
    refuses(at("levelStart", "I32", 1, 50), "levels do not follow")
  })
})

describe("LeafSpace", () => {
  it("of a stored trie and of any filters on it says what the allowed items say (brute force)", () => {
    for (let seed = 0; seed < 60; seed++) {
      const next = Random.uniform(seed, 2)
      const sids = drawn(1 + seed, seed, 2 + seed % 5)
      const space = LeafSpace.ofTrie(Trie.build(sids))
      const map = new Map(sids.entries())
      const all = prefixes(sids)
      compare(space, map, all)
      assert.strictEqual(space.whole, space)
      const few = [0.1, 0.6, 0.95].map((share) => new Set(Array.from(map.keys()).filter(() => next() < share)))
      let filtered = space
      for (const [i, some] of few.entries()) {
        const left = new Map([...map].filter(([item]) => !some.has(item)))
        compare(LeafSpace.without(space, [...some, ...some, 1000]), left, all)
        compare(LeafSpace.only(space, (item) => !some.has(item)), left, all)
        filtered = i === 1 ? LeafSpace.only(filtered, (item) => !some.has(item)) : LeafSpace.without(filtered, some)
        compare(filtered, new Map([...map].filter(([item]) => !few.slice(0, i + 1).some((one) => one.has(item)))), all)
        assert.strictEqual(filtered.whole, space)
      }
      compare(LeafSpace.without(space, map.keys()), new Map(), all)
    }
  })
})

describe("LiveTrie", () => {
  it("has after every edit a snapshot of the live SIDs, which no later edit changes (brute force)", () => {
    for (let seed = 0; seed < 12; seed++) {
      const next = Random.uniform(seed, 1)
      const sids = drawn(30, seed)
      const live = LiveTrie.make(Trie.build(sids))
      const map = new Map(sids.entries())
      const fresh = drawn(60, seed + 100, 5)
      const all = prefixes([...sids, ...fresh])
      const requests: Array<() => void> = []
      for (let edit = 0; edit < 60; edit++) {
        const item = Math.floor(next() * 45)
        if (next() < 0.5) {
          const sid = fresh[edit]!
          live.insert(item, sid)
          map.set(item, sid)
        } else assert.strictEqual(live.withdraw(item), map.delete(item))
        assert.strictEqual(live.size, map.size)
        if (edit % 10 !== 0) continue
        const space = live.snapshot()
        assert.strictEqual(live.snapshot(), space)
        const hidden = Array.from({ length: 8 }, () => Math.floor(next() * 45))
        const then = new Map(map)
        const without = LeafSpace.without(space, hidden)
        const only = LeafSpace.only(space, (one) => one % 3 === 0)
        const request = () => {
          compare(space, then, all)
          compare(without, new Map([...then].filter(([one]) => !hidden.includes(one))), all)
          compare(only, new Map([...then].filter(([one]) => one % 3 === 0)), all)
          compare(LeafSpace.without(space, hidden), new Map([...then].filter(([one]) => !hidden.includes(one))), all)
        }
        request()
        requests.push(request)
      }
      for (const request of requests) request()
      const { items, trie } = live.rebuild()
      assert.deepStrictEqual([...items], [...map.keys()].toSorted((a, b) => a - b))
      for (const [at, item] of items.entries()) {
        assert.strictEqual(Trie.find(trie, map.get(item)!), Trie.leaves(trie)[at])
      }
    }
  })

  it("keeps the sibling of an item that is withdrawn while a request leaves it out", () => {
    const live = LiveTrie.make(Trie.build([[0, 1], [0, 2]]))
    const request = LeafSpace.without(live.snapshot(), [0])
    live.withdraw(0)
    for (const space of [request, LeafSpace.without(live.snapshot(), [0])]) {
      assert.deepStrictEqual([...space.items(LeafSpace.find(space, [0, 2]))], [1])
    }
  })

  it("brings a withdrawn item back, and an item to where it was", () => {
    const live = LiveTrie.make(Trie.build([[0, 1], [0, 2]]))
    const codes = (prefix: ReadonlyArray<number>) => {
      const space = live.snapshot()
      return [...LeafSpace.childNodes(space, LeafSpace.find(space, prefix))].map((node) => space.code(node))
    }
    live.withdraw(0)
    assert.deepStrictEqual([codes([]), codes([0])], [[0], [2]])
    live.insert(0, [3, 3])
    live.insert(0, [0, 1])
    assert.deepStrictEqual(codes([]), [0])
    const space = live.snapshot()
    assert.deepStrictEqual([...space.items(LeafSpace.find(space, [0, 1]))], [0])
    live.withdraw(0)
    live.withdraw(1)
    assert.deepStrictEqual(codes([]), [])
    assert.strictEqual(live.size, 0)
  })
})
