/**
 * The smoothed losses of every family, from the probabilities by which its policy decodes.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { FlatPolicyConfig } from "../../src/policy/flat/FlatPolicy.ts"
import { ItemPolicyConfig } from "../../src/policy/item/ItemPolicyConfig.ts"
import { PolicyModel, type TreeLogProbs } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { type SidIndex } from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import { type LeafSpace } from "../../src/sid/trie/LeafSpace.ts"
import { catalogues, enliven, itemFamilies, layer, prefixed, settings } from "./FamilyFixture.ts"
import * as Fixture from "./Fixture.ts"

/** No item of these shares its SID, and the latest four are the whole sequence. */
const sequences = [[0, 5, 7, 3], [8], [1, 6, 5, 0]]

const mean = (values: Iterable<number>) => {
  const all = Array.from(values)
  return all.reduce((a, b) => a + b, 0) / all.length
}

/** Log-likelihood of each step to an item, with the share `smoothing` spread over all steps that its node allows. */
const stepsTo = (space: LeafSpace, tree: TreeLogProbs, item: number, smoothing: number): ReadonlyArray<number> => {
  const rowOf = (node: number) => {
    const r = tree.nodes.indexOf(node)
    return tree.logProbs.subarray(tree.starts[r], tree.starts[r + 1])
  }
  const children = new Int32Array(space.width)
  const path: Array<number> = []
  for (let node = space.leaf(item); node > 0; node = space.parent(node)) path.unshift(node)
  const steps = path.map((child) => {
    const parent = space.parent(child)
    const row = rowOf(parent)
    const place = children.subarray(0, space.children(parent, children)).indexOf(child)
    return (1 - smoothing) * row[place]! + smoothing * mean(row)
  })
  const leaf = space.leaf(item)
  if (space.childCount(leaf) === 0) return steps
  const row = rowOf(leaf)
  return [...steps, (1 - smoothing) * row.at(-1)! + smoothing * mean(row)]
}

/** The losses of training, and what the policy's trees and scores say of the same targets. */
const losses = Effect.fnUntraced(function*(index: SidIndex, smoothing: number) {
  const policy = yield* PolicyModel
  const { space } = yield* Sids
  const weights = yield* enliven
  const examples = sequences.map((items, user) => Prompt.everyPosition({ user, items: Int32Array.from(items) }))
  const [batch, ...others] = yield* policy.plan(examples, 1, 0)
  assert.strictEqual(others.length, 0)
  const store = yield* PolicyParameters
  const terms = yield* (yield* policy.supervised).accumulate(store, [{ batch: batch! }], { seed: 1, step: 0 })
  const cases = sequences.flatMap((items) =>
    items.map((item, t) => ({ prompt: Prompt.ofItems(Int32Array.from(items.slice(0, t))), item }))
  )
  const trees = yield* policy.score(
    cases.map(({ prompt }) => ({ prompt, leaves: Int32Array.from(new Set(index.leafOf)) })),
    weights
  )
  const steps = cases.map(({ item }, c) => stepsTo(space, trees[c]!, item, smoothing))
  const head = Option.isNone(policy.scoreItems)
    ? undefined
    : yield* policy.scoreItems.value(cases.map(({ prompt }) => prompt), weights)
  return { terms, cases, trees, steps, head, space }
}, Effect.scoped)

for (const smoothing of [0, 0.3]) {
  describe(`label smoothing ${smoothing}`, () => {
    for (const [name, index] of catalogues) {
      it.effect(`spreads over the children of every node: flat, ${name}`, () =>
        Effect.gen(function*() {
          const { steps, terms } = yield* losses(index, smoothing)
          assert.closeTo(terms.loss, -mean(steps.flat()), 2e-5)
        }).pipe(
          Effect.provide(
            Fixture.layer("onnx", new FlatPolicyConfig({ ...Fixture.config, labelSmoothing: smoothing }), index)
          )
        ))

      for (const family of itemFamilies) {
        it.effect(`spreads over the classes of every softmax: ${family.name}, ${name}`, () =>
          Effect.gen(function*() {
            const { cases, head, space, steps, terms, trees } = yield* losses(index, smoothing)
            const items = Array.from({ length: 9 }, (_, item) => item)
            const item = cases.map(({ item }, c) => {
              const row = head!.data.subarray(c * 9, (c + 1) * 9)
              return (1 - smoothing) * row[item]! + smoothing * mean(row)
            })
            assert.closeTo(terms["item"]!, -mean(item), 2e-5)
            const sums = steps.map((own) => own.reduce((a, b) => a + b, 0))
            if (family.local) return assert.closeTo(terms["sid"]!, -mean(sums), 2e-5)
            // Where SIDs are shared, the probability of a leaf is not that of an item.
            if (index === prefixed && smoothing > 0) return
            const all = cases.map(({ item }, c) => {
              const each = items.map((one) => stepsTo(space, trees[c]!, one, 0).reduce((a, b) => a + b, 0))
              return (1 - smoothing) * each[item]! + smoothing * mean(each)
            })
            assert.closeTo(terms["digits"]!, -mean(all), 2e-5)
          }).pipe(
            Effect.provide(layer(family, index, new ItemPolicyConfig({ ...settings, labelSmoothing: smoothing })))
          ))
      }
    }
  })
}
