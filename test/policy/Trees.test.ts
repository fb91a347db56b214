/**
 * A group is one tree: what is merged, left out or read side by side must not be seen in any number.
 *
 * The replicated form, every candidate alone after its own copy of the prompt, is the oracle.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Objective from "../../src/objective/Objective.ts"
import * as CompactVocabulary from "../../src/policy/flat/CompactVocabulary.ts"
import * as FlatLayout from "../../src/policy/flat/FlatLayout.ts"
import { PolicyModel, type TreeLogProbs, type Weights } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"
import { config, enliven, layer } from "./Fixture.ts"

/** All 27 SIDs of three codes below 3: whatever the first codes, the same ones may follow. */
const grid = SidIndex.make(
  Array.from({ length: 27 }, (_, item) => Int32Array.of(Math.floor(item / 9), Math.floor(item / 3) % 3, item % 3)),
  [3, 3, 3],
  "none"
)
/** SIDs of one to four codes that begin each other, and two that are shared. */
const prefixed = SidIndex.make(
  [[0], [0, 0, 1], [0, 1], [1, 0, 0], [0, 1], [1, 2, 1, 1], [1, 2], [2, 1, 2], [2, 1, 2, 0], [2, 1], [1, 0, 2]].map(
    (codes) => Int32Array.from(codes)
  ),
  [4, 4, 4, 2],
  "keep"
)

/** The row of a node in a tree. */
const row = ({ logProbs, nodes, starts }: TreeLogProbs, node: number): Float32Array => {
  const at = nodes.indexOf(node)
  assert.isAtLeast(at, 0)
  return logProbs.subarray(starts[at], starts[at + 1])
}

const assertClose = (a: Float32Array, b: Float32Array) => {
  assert.strictEqual(a.length, b.length)
  for (const [i, value] of a.entries()) assert.closeTo(value, b[i]!, 1e-5)
}

/** Fails where a single log-probability is the same in both, within the tolerance of equal ones. */
const assertApart = (a: Float32Array, b: Float32Array) => {
  assert.strictEqual(a.length, b.length)
  for (const [i, value] of a.entries()) assert.isAbove(Math.abs(value - b[i]!), 1e-5)
}

/** Inner nodes that a candidate passes. */
const passed = (space: LeafSpace.LeafSpace, leaf: number): ReadonlyArray<number> =>
  [0, ...LeafSpace.path(space, leaf)].filter((node) => space.childCount(node) > 0)

const score = (items: ReadonlyArray<number>, leaves: ReadonlyArray<number>, weights: Weights) =>
  Effect.gen(function*() {
    const policy = yield* PolicyModel
    const [tree] = yield* policy.score(
      [{ prompt: Prompt.ofItems(Int32Array.from(items)), leaves: Int32Array.from(leaves) }],
      weights
    )
    return tree!
  })

describe("FlatLayout.trees", () => {
  it("fills rows with several prompts, none of which is cut or lies on another", () => {
    const space = LeafSpace.ofTrie(prefixed.trie)
    const vocabulary = CompactVocabulary.make(prefixed)
    const all = [...new Set(prefixed.leafOf)]
    const next = Random.uniform(3, 1)
    const groups = Array.from({ length: 60 }, (_, g) => ({
      tokens: FlatLayout.prompt(
        prefixed,
        vocabulary,
        Int32Array.from({ length: Math.floor(next() ** 2 * 40) }, () => Math.floor(next() * 11)),
        200
      ),
      leaves: Int32Array.from(all.slice(0, 1 + g % all.length))
    }))
    for (const count of [1, 2, 60]) {
      const some = groups.slice(0, count)
      const { first, length, mask, predictors, rows } = FlatLayout.trees(space, vocabulary, some, -1)
      const alone = some.map((group) => FlatLayout.trees(space, vocabulary, [group], -1))
      const positions = alone.reduce((sum, tree) => sum + tree.length, 0)
      assert.isAtMost(length, 1.2 * Math.max(FlatLayout.treeRow, ...alone.map((tree) => tree.length)))
      assert.isAtMost(rows * length, 1.1 * positions)
      assert.strictEqual(new Set(predictors).size, predictors.length)
      // A position sees as many others as in a row of its own.
      const seen = (masks: Float32Array, width: number, position: number) =>
        masks.subarray(position * width, (position + 1) * width).filter((value) => value === 0).length
      for (const [g, own] of alone.entries()) {
        assert.deepStrictEqual(
          Array.from(predictors.subarray(first[g], first[g + 1]), (at) => seen(mask, length, at)),
          Array.from(own.predictors, (at) => seen(own.mask, own.length, at))
        )
      }
    }
  })
})

for (const [name, index] of [["SIDs of one length", grid], ["SIDs that begin others", prefixed]] as const) {
  const all = [...new Set(index.leafOf)]
  const histories = [[3, 7, 1], [], [9], [2, 4, 6, 8, 10, 1]]

  describe(`PolicyModel.score: ${name}`, () => {
    it.effect("is the replicated form, and groups do not see each other", () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const { space } = yield* Sids
        const weights = yield* enliven
        const groups = histories.map((items, h) => ({
          prompt: Prompt.ofItems(Int32Array.from(items)),
          leaves: Int32Array.from(all.filter((_, i) => (i + h) % 2 === 0))
        }))
        const trees = yield* policy.score(groups, weights)
        for (const [g, { leaves, prompt }] of groups.entries()) {
          const seen = new Set<number>()
          for (const leaf of leaves) {
            const [alone] = yield* policy.score([{ prompt, leaves: Int32Array.of(leaf) }], weights)
            assert.deepStrictEqual([...alone!.nodes], [...passed(space, leaf)])
            for (const node of passed(space, leaf)) {
              assertClose(row(trees[g]!, node), row(alone!, node))
              seen.add(node)
            }
          }
          // Nothing is scored that no candidate passes, and nothing twice.
          assert.deepStrictEqual([...trees[g]!.nodes].toSorted((a, b) => a - b), [...seen].toSorted((a, b) => a - b))
        }
      }).pipe(Effect.provide(layer("onnx", config, index))))

    it.effect("does not move when candidates are permuted or repeated, nor for others when one is changed", () =>
      Effect.gen(function*() {
        const { space } = yield* Sids
        const weights = yield* enliven
        const leaves = all.slice(0, 6)
        for (const items of histories) {
          const tree = yield* score(items, leaves, weights)
          for (
            const other of [leaves.toReversed(), [...leaves.slice(3), ...leaves.slice(0, 3)], [...leaves, ...leaves]]
          ) {
            const permuted = yield* score(items, other, weights)
            assert.strictEqual(permuted.nodes.length, tree.nodes.length)
            for (const node of tree.nodes) assertClose(row(permuted, node), row(tree, node))
          }
          for (const [i] of leaves.entries()) {
            const kept = leaves.filter((_, at) => at !== i)
            const changed = yield* score(items, [...kept, all.at(-1)!], weights)
            for (const leaf of kept) {
              for (const node of passed(space, leaf)) assertClose(row(changed, node), row(tree, node))
            }
          }
        }
      }).pipe(Effect.provide(layer("onnx", config, index))))

    it.effect("moves at every code when the prompt changes, be it in its oldest item or its order", () =>
      Effect.gen(function*() {
        const { space } = yield* Sids
        const weights = yield* enliven
        const tree = yield* score([3, 7, 1], all, weights)
        for (const items of [[3, 7, 2], [4, 7, 1], [7, 3, 1], [7, 1], [0, 3, 7, 1], []]) {
          const changed = yield* score(items, all, weights)
          for (const node of tree.nodes) {
            // An only choice is certain after every prompt.
            const choices = space.childCount(node) + (space.ends(node) ? 1 : 0)
            if (choices > 1) assertApart(row(changed, node), row(tree, node))
            else assert.deepStrictEqual([...row(changed, node)], [0])
          }
        }
      }).pipe(Effect.provide(layer("onnx", config, index))))
  })
}

describe("PolicyModel.score: ancestors", () => {
  it.effect("moves at every later code when an earlier one changes", () =>
    Effect.gen(function*() {
      const { space } = yield* Sids
      const weights = yield* enliven
      for (const items of [[3, 7, 1], [], [9]]) {
        const tree = yield* score(items, all(), weights)
        const node = (...codes: ReadonlyArray<number>) => LeafSpace.find(space, codes)
        for (const code of [0, 1, 2]) {
          const other = (code + 1) % 3
          assertApart(row(tree, node(code)), row(tree, node(other)))
          for (const second of [0, 1, 2]) {
            // Another first code with the same second one, and another second one after the same first.
            assertApart(row(tree, node(code, second)), row(tree, node(other, second)))
            assertApart(row(tree, node(second, code)), row(tree, node(second, other)))
          }
        }
      }
    }).pipe(Effect.provide(layer("onnx", config, grid))))
})

const all = () => [...new Set(grid.leafOf)]

describe("PolicyModel.groupGradient: a candidate that was drawn twice", () => {
  it.effect("counts twice", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const store = yield* PolicyParameters
      const weights = yield* enliven
      const linear: Objective.GroupObjective = {
        name: "linear",
        needs: { behaviour: false, reference: false },
        scalars: {},
        loss: (groups) => ({
          loss: Objective.overCandidates(groups.logProbs.mul(groups.advantages.expandDims(1)), groups),
          terms: {}
        })
      }
      const gradient = yield* policy.groupGradient(linear)
      const prompt = Prompt.ofItems(Int32Array.of(4, 8))
      const gradientOf = Effect.fnUntraced(function*(items: ReadonlyArray<number>, advantages: ReadonlyArray<number>) {
        const leaves = Int32Array.from(items, (item) => grid.leafOf[item]!)
        const [reference] = yield* policy.score([{ prompt, leaves }], weights)
        const group = {
          prompt,
          leaves,
          reference: reference!,
          advantages: Float32Array.from(advantages),
          behaviour: items.map(() => new Float32Array(3))
        }
        yield* gradient.accumulate(store, [{ batch: [group] }], { seed: 0, step: 0 })
        return store.buffer.slots.map(({ name }) => store.buffer.view("gradients", name).slice())
      })
      const repeated = yield* gradientOf([5, 14, 5], [1, 0.2, -0.4])
      // Means are over three candidates there and over two here.
      const once = yield* gradientOf([5, 14], [0.6 * 2 / 3, 0.2 * 2 / 3])
      for (const [s, values] of repeated.entries()) {
        const scale = Math.max(1e-4, ...values.map(Math.abs))
        for (const [i, value] of values.entries()) assert.closeTo(value, once[s]![i]!, 1e-4 * scale)
      }
      assert.isAbove(Math.max(...repeated.map((values) => Math.max(...values.map(Math.abs)))), 1e-3)
    }).pipe(Effect.scoped, Effect.provide(layer("onnx", config, grid))))
})
