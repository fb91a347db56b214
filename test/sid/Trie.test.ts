import { assert, describe, it } from "@effect/vitest"
import { SidError } from "../../src/sid/SidError.ts"
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

const compare = (
  view: LiveTrie.TrieView,
  sids: ReadonlyMap<number, ReadonlyArray<number>>,
  all: ReadonlyArray<ReadonlyArray<number>>
) => {
  for (const prefix of all) {
    const want = expected(sids, prefix)
    const node = view.find(prefix)
    if (prefix.length > 0) assert.strictEqual(node >= 0, want.alive, prefix.join(","))
    if (node < 0) continue
    assert.strictEqual(view.isAlive(node), want.alive)
    assert.deepStrictEqual(view.children(node), want.codes, prefix.join(","))
    assert.deepStrictEqual(view.items(node), want.items, prefix.join(","))
    for (let code = 0; code < 6; code++) {
      assert.strictEqual(view.child(node, code) >= 0, want.codes.includes(code))
    }
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

describe("LiveTrie", () => {
  it("says after every edit what the list of live SIDs says (brute force)", () => {
    for (let seed = 0; seed < 12; seed++) {
      const next = Random.uniform(seed, 1)
      const sids = drawn(30, seed)
      const live = LiveTrie.make(Trie.build(sids))
      const map = new Map(sids.entries())
      const fresh = drawn(60, seed + 100, 5)
      const all = prefixes([...sids, ...fresh])
      for (let edit = 0; edit < 60; edit++) {
        const item = Math.floor(next() * 45)
        if (next() < 0.5) {
          const sid = fresh[edit]!
          live.insert(item, sid)
          map.set(item, sid)
        } else assert.strictEqual(live.withdraw(item), map.delete(item))
        assert.strictEqual(live.size, map.size)
        if (edit % 10 !== 0) continue
        compare(live, map, all)
        const hidden = Array.from({ length: 8 }, () => Math.floor(next() * 45))
        compare(live.without(hidden), new Map([...map].filter(([one]) => !hidden.includes(one))), all)
        compare(live.only((one) => one % 3 === 0), new Map([...map].filter(([one]) => one % 3 === 0)), all)
      }
      const { items, trie } = live.rebuild()
      assert.deepStrictEqual([...items], [...map.keys()].toSorted((a, b) => a - b))
      for (const [at, item] of items.entries()) {
        assert.strictEqual(Trie.find(trie, map.get(item)!), Trie.leaves(trie)[at])
      }
    }
  })

  it("brings a withdrawn item back, and an item to where it was", () => {
    const live = LiveTrie.make(Trie.build([[0, 1], [0, 2]]))
    live.withdraw(0)
    assert.deepStrictEqual(live.children(0), [0])
    assert.deepStrictEqual(live.children(live.find([0])), [2])
    live.insert(0, [3, 3])
    live.insert(0, [0, 1])
    assert.deepStrictEqual(live.children(0), [0])
    assert.deepStrictEqual(live.items(live.find([0, 1])), [0])
    live.withdraw(0)
    live.withdraw(1)
    assert.deepStrictEqual(live.children(0), [])
    assert.strictEqual(live.size, 0)
  })
})
