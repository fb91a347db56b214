/**
 * The contract of policies, kept by every family.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { PolicyModel, type TreeLogProbs } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import type * as Prompt from "../../src/policy/Prompt.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import { distance } from "../Golden.ts"
import {
  catalogues,
  enliven,
  families,
  type Family,
  itemFamilies,
  layer,
  leavesOf,
  rowsOf,
  timed,
  timedFamilies,
  walk
} from "./FamilyFixture.ts"

const histories = [[], [4], [3, 7, 1], [8, 2, 6, 0], [5, 5]]
const ofItems = timed
const prompts = histories.map(ofItems)

const sumOf = (logProbs: Iterable<number>) => Array.from(logProbs).reduce((sum, value) => sum + Math.exp(value), 0)
const flatten = (rows: ReadonlyMap<number, { readonly children: Float32Array; readonly end: number }>) =>
  [...rows].toSorted(([a], [b]) => a - b).flatMap(([, { children, end }]) => [...children, Math.exp(end)])

const treesOf = Effect.fnUntraced(function*(index: SidIndex.SidIndex, given: ReadonlyArray<ReadonlyArray<number>>) {
  const policy = yield* PolicyModel
  const leaves = Int32Array.from(new Set(index.leafOf))
  return yield* policy.score(
    given.map((items) => ({ prompt: ofItems(items), leaves })),
    { version: 0, feeds: (yield* PolicyParameters).buffer.tensors("weights") }
  )
})

const assertSame = (a: TreeLogProbs, b: TreeLogProbs) => {
  assert.deepStrictEqual([a.nodes, a.starts], [b.nodes, b.starts])
  assert.isBelow(distance(a.logProbs, b.logProbs), 1e-5)
}

const contract = (family: Family, name: string, index: SidIndex.SidIndex) => {
  const provided = Effect.provide(layer(family, index))

  it.effect(`leaves sum to 1, and sessions say what trees do: ${name}`, () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const { space } = yield* Sids
      const weights = yield* enliven
      const session = yield* policy.open(prompts, { weights, space, normaliser: "children" })
      const rows = yield* walk(session, prompts.map(() => space))
      const trees = yield* treesOf(index, histories)
      const all = new Set<number>()
      for (const [p, tree] of trees.entries()) {
        const leaves = leavesOf(space, rows[p]!)
        assert.sameMembers([...leaves.keys()], [...new Set(index.leafOf)])
        assert.closeTo(sumOf(leaves.values()), 1, 1e-5)
        // Far from even, so that a swapped pair would be seen.
        assert.isAbove(Math.max(...leaves.values()) - Math.min(...leaves.values()), 0.5)
        const scored = rowsOf(space, tree)
        for (const [node, { children, end }] of scored) {
          const own = rows[p]!.get(node)!
          assert.isBelow(distance(own.children, children), 1e-5)
          assert.strictEqual(own.end > -Infinity, end > -Infinity)
          assert.closeTo(Math.exp(own.end), Math.exp(end), 1e-5)
          assert.closeTo(sumOf(own.children) + Math.exp(own.end), 1, 1e-5)
          all.add(node)
        }
        // What trees leave out has one outcome only.
        for (const [node, { children, end }] of rows[p]!) {
          if (!scored.has(node)) assert.deepStrictEqual([children.length, end], [0, 0])
        }
      }
      assert.isAbove(all.size, 4)
    }).pipe(Effect.scoped, provided))

  it.effect(`prompts, groups and calls do not see each other: ${name}`, () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const { space } = yield* Sids
      const weights = yield* enliven
      const options = { weights, space, normaliser: "children" as const }
      const together = yield* walk(yield* policy.open(prompts, options), prompts.map(() => space))
      const trees = yield* treesOf(index, histories)
      for (const [p, prompt] of prompts.entries()) {
        const [alone] = yield* walk(yield* policy.open([prompt], options), [space])
        assert.isBelow(distance(flatten(together[p]!), flatten(alone!)), 1e-5)
        const [tree] = yield* treesOf(index, [histories[p]!])
        assertSame(tree!, trees[p]!)
        for (const leaf of new Set(index.leafOf)) {
          const [single] = yield* policy.score([{ prompt, leaves: Int32Array.of(leaf) }], weights)
          for (const [node, { children, end }] of rowsOf(space, single!)) {
            const whole = together[p]!.get(node)!
            assert.isBelow(distance([...children, Math.exp(end)], [...whole.children, Math.exp(whole.end)]), 1e-5)
          }
        }
      }
      // Scoring a node a second time, after others, changes nothing.
      const session = yield* policy.open(prompts, options)
      const into = [new Float32Array(space.width), new Float32Array(space.width)]
      const root = prompts.map(() => Int32Array.of(0))
      ;(yield* session.score(root)).children(2, 0, into[0]!)
      yield* session.score(prompts.map(() => LeafSpace.childNodes(space, 0)))
      ;(yield* session.score(root)).children(2, 0, into[1]!)
      assert.deepStrictEqual(into[0], into[1])
    }).pipe(Effect.scoped, provided))

  it.effect(`filtered spaces, one per prompt, share all probability among what they allow: ${name}`, () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const { space } = yield* Sids
      const weights = yield* enliven
      const itemsOf = (leaf: number) => [...index.leafOf.keys()].filter((item) => index.leafOf[item] === leaf)
      const missing = [[], [0], itemsOf(index.leafOf[4]!), [0, 1, 3], [5, 6, 7, 8]]
      const spaces = missing.map((items) => LeafSpace.without(space, items))
      const whole = yield* walk(
        yield* policy.open(prompts, { weights, space, normaliser: "children" }),
        prompts.map(() => space)
      )
      const rows = yield* walk(yield* policy.open(prompts, { weights, space: spaces, normaliser: "children" }), spaces)
      for (const [p, own] of spaces.entries()) {
        const leaves = leavesOf(own, rows[p]!)
        const allowed = [...index.leafOf.keys()].filter((item) => !missing[p]!.includes(item))
        assert.sameMembers([...leaves.keys()], [...new Set(allowed.map((item) => index.leafOf[item]!))])
        assert.closeTo(sumOf(leaves.values()), 1, 1e-5)
        if (family.local) {
          for (const [node, { children, end }] of rows[p]!) {
            const before = whole[p]!.get(node)!
            const codes = LeafSpace.childNodes(space, node)
            const kept = Array.from(
              LeafSpace.childNodes(own, node),
              (child) => before.children[codes.indexOf(child)]!
            )
            if (kept.length === 0) continue
            const total = Math.log(sumOf([...kept, ...(own.ends(node) ? [before.end] : [])]))
            assert.isBelow(distance(children, kept.map((value) => value - total)), 1e-5)
            if (own.ends(node)) assert.closeTo(end, before.end - total, 1e-5)
          }
        } else {
          const before = leavesOf(space, whole[p]!)
          const total = sumOf(Array.from(leaves.keys(), (leaf) => before.get(leaf)!))
          for (const [leaf, logProb] of leaves) assert.closeTo(logProb, before.get(leaf)! - Math.log(total), 1e-5)
        }
      }
    }).pipe(Effect.scoped, provided))

  it.effect(`a longer history is its latest items, and every change of those is seen at every node: ${name}`, () =>
    Effect.gen(function*() {
      const { space } = yield* Sids
      yield* enliven
      const long = [1, 8, 0, 3, 5, 2, 4, 6, 0, 2, 8, 4, 3, 1, 7]
      const read = family.read(index, long)
      assert.isBelow(read.length, long.length)
      const [cut, whole, other] = yield* treesOf(index, [read, long, [7, ...long.slice(1)]])
      assertSame(whole!, cut!)
      assertSame(other!, cut!)
      const base = [3, 7, 1]
      const [tree, ...changed] = yield* treesOf(index, [
        base,
        [3, 7, 2],
        [4, 7, 1],
        [7, 3, 1],
        [7, 1],
        [0, 3, 7, 1],
        [],
        read.slice(1)
      ])
      for (const one of changed) {
        for (const [r, node] of tree!.nodes.entries()) {
          // An only choice is certain after every prompt.
          if (space.childCount(node) + (space.ends(node) ? 1 : 0) < 2) continue
          const row = ({ logProbs, starts }: TreeLogProbs) => logProbs.subarray(starts[r], starts[r + 1])
          assert.isAbove(distance(row(one), row(tree!)), 1e-4, `node ${node}`)
        }
      }
    }).pipe(provided))

  it.effect(`the whole vocabulary leaves at most as much to the children: ${name}`, () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const { space } = yield* Sids
      const weights = yield* enliven
      const spaces = prompts.map(() => space)
      const [children, vocabulary] = yield* Effect.forEach(["children", "vocabulary"] as const, (normaliser) =>
        Effect.flatMap(policy.open(prompts, { weights, space, normaliser }), (session) =>
          walk(session, spaces)))
      let most = 0
      for (const [p, rows] of children!.entries()) {
        for (const [node, row] of rows) {
          const other = vocabulary![p]!.get(node)!
          for (const [i, value] of row.children.entries()) {
            assert.isAtMost(other.children[i]!, value + 1e-5)
            most = Math.max(most, value - other.children[i]!)
            // A constant apart: the same scores under another normaliser.
            assert.closeTo(value - other.children[i]!, row.children[0]! - other.children[0]!, 1e-4)
          }
          assert.isAtMost(other.end, row.end + 1e-5)
        }
      }
      if (family.local) {
        assert.isAbove(most, 0.1)
      } else assert.strictEqual(most, 0)
    }).pipe(Effect.scoped, provided))

  it.effect(`nodes before their parents, and text, are refused: ${name}`, () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const { space } = yield* Sids
      const weights = yield* enliven
      const options = { weights, space, normaliser: "children" as const }
      const session = yield* policy.open(prompts, options)
      const [first, second, third] = LeafSpace.path(space, index.leafOf[5]!) as [number, number, number]
      const score = (nodes: (prompt: number) => ReadonlyArray<number>) =>
        session.score(prompts.map((_, p) => Int32Array.from(nodes(p))))
      yield* score(() => [0])
      const early = yield* Effect.flip(score((p) => [p === 1 ? second : first]))
      assert.strictEqual(early.reason._tag, "UnscoredParent")
      assert.deepInclude(early.reason, { prompt: 1, node: second, parent: first })
      // The refused call has scored nothing, for other prompts neither.
      for (const [p] of prompts.entries()) {
        const still = yield* Effect.flip(score((other) => other === p ? [second] : []))
        assert.deepInclude(still.reason, { _tag: "UnscoredParent", prompt: p, parent: first })
      }
      yield* score((p) => p === 3 ? [] : [first])
      const other = yield* Effect.flip(score(() => [second]))
      assert.deepInclude(other.reason, { _tag: "UnscoredParent", prompt: 3 })
      yield* score((p) => p === 3 ? [] : [second])
      yield* score((p) => p === 3 ? [first] : [third])

      const text: Prompt.Prompt = { _tag: "Text", task: "complete the basket", segments: ["milk"] }
      const item = yield* Effect.exit(policy.plan([{ prompt: prompts[2]!, answer: [{ item: 3 }], weight: 1 }], 1, 0))
      assert.strictEqual(item._tag, "Success")
      const refusals: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        policy.plan([{ prompt: text, answer: "every-position", weight: 1 }], 1, 0),
        ...(family.text ? [] : [
          Effect.scoped(policy.open([prompts[0]!, text], options)),
          policy.score([{ prompt: text, leaves: index.leafOf.slice(0, 1) }], weights),
          policy.plan([{ prompt: prompts[2]!, answer: ["bread"], weight: 1 }], 1, 0)
        ]),
        ...Option.toArray(policy.scoreItems).map((scoreItems) => scoreItems([text], weights))
      ]
      for (const refusal of refusals) {
        const error = yield* Effect.flip(refusal) as Effect.Effect<{ readonly message: string }>
        assert.match(error.message, new RegExp(`the ${family.name} policy does not support`))
        assert.match(error.message, /complete the basket|bread/)
      }
    }).pipe(Effect.scoped, provided))
}

for (const family of [...families, ...timedFamilies]) {
  describe(`the ${family.name} policy${timedFamilies.includes(family) ? " that reads times" : ""}`, () => {
    for (const [name, index] of catalogues) contract(family, name, index)
  })
}

/** All 27 SIDs of three codes below 3: whatever the first codes, the same ones may follow. */
const grid = SidIndex.make(
  Array.from({ length: 27 }, (_, item) => Int32Array.of(Math.floor(item / 9), Math.floor(item / 3) % 3, item % 3)),
  [3, 3, 3],
  "none"
)

/** Every code may follow every first code, or the end. */
const closed = SidIndex.make(
  [[0], [1], [0, 0], [0, 1], [1, 0], [1, 1]].map((codes) => Int32Array.from(codes)),
  [2, 2],
  "keep"
)

for (const family of families.filter(({ local }) => local)) {
  describe(`the ${family.name} policy`, () => {
    it.effect("sees every earlier code, and where it stands", () =>
      Effect.gen(function*() {
        const { space } = yield* Sids
        yield* enliven
        const trees = yield* treesOf(grid, [[], [4], [3, 17, 21]])
        for (const tree of trees) {
          const rows = rowsOf(space, tree)
          const row = (...codes: ReadonlyArray<number>) => rows.get(LeafSpace.find(space, codes))!.children
          const apart = (one: Float32Array, other: Float32Array) => {
            // One position among two hundred says less.
            assert.isAbove(distance(one, other), family.text ? 1e-4 : 1e-3)
          }
          for (const code of [0, 1, 2]) {
            const other = (code + 1) % 3
            apart(row(code), row(other))
            apart(row(code, other), row(other, code))
            for (const second of [0, 1, 2]) {
              apart(row(code, second), row(other, second))
              apart(row(second, code), row(second, other))
            }
          }
        }
      }).pipe(Effect.provide(layer(family, grid))))
  })
}

it.effect("an item policy counts the codes of a level and the end, each once, as the whole vocabulary of a node", () =>
  Effect.gen(function*() {
    const policy = yield* PolicyModel
    const { space } = yield* Sids
    const weights = yield* enliven
    const given = [[], [4], [3, 5, 1]].map(ofItems)
    const [children, vocabulary] = yield* Effect.forEach(
      ["children", "vocabulary"] as const,
      (normaliser) =>
        Effect.flatMap(
          policy.open(given, { weights, space, normaliser }),
          (session) => walk(session, given.map(() => space))
        )
    )
    for (const [p, rows] of children!.entries()) {
      for (const node of LeafSpace.childNodes(space, 0)) {
        const [one, other] = [rows.get(node)!, vocabulary![p]!.get(node)!]
        assert.isBelow(distance([...one.children, one.end], [...other.children, other.end]), 1e-5)
      }
    }
  }).pipe(Effect.scoped, Effect.provide(layer(itemFamilies[0]!, closed))))

describe("PolicyModel.scoreItems", () => {
  for (const family of [...itemFamilies, ...timedFamilies]) {
    it.effect(`is a distribution over items after each prompt, however many there are: ${family.name}`, () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const weights = yield* enliven
        const scoreItems = Option.getOrThrow(policy.scoreItems)
        // More positions than one row takes.
        const many = Array.from({ length: 40 }, (_, p) => histories[p % 5]!.map((item) => (item + p) % 9))
        const { data, rows, width } = yield* scoreItems(many.map(ofItems), weights)
        assert.deepStrictEqual([rows, width, data.length], [40, 9, 360])
        for (const [p, items] of many.entries()) {
          const row = data.subarray(p * width, (p + 1) * width)
          assert.closeTo(sumOf(row), 1, 1e-5)
          assert.isAbove(Math.max(...row) - Math.min(...row), 0.1)
          assert.isBelow(distance((yield* scoreItems([ofItems(items)], weights)).data, row), 1e-5)
        }
        const long = yield* scoreItems([[0, 1, 2, 3, 4, 5], [2, 3, 4, 5], [3, 4, 5]].map(ofItems), weights)
        assert.isBelow(distance(long.data.subarray(0, 9), long.data.subarray(9, 18)), 1e-6)
        assert.isAbove(distance(long.data.subarray(0, 9), long.data.subarray(18)), 1e-3)
      }).pipe(Effect.provide(layer(family))))
  }

  it.effect("is not there for a policy without an item head", () =>
    Effect.gen(function*() {
      assert.isTrue(Option.isNone((yield* PolicyModel).scoreItems))
    }).pipe(Effect.provide(layer(families[0]!))))
})
