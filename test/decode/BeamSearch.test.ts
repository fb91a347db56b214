import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BeamSearch from "../../src/decode/BeamSearch.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import { enliven, index, layer } from "../policy/Fixture.ts"

const histories = [Int32Array.of(3, 1), Int32Array.of(), Int32Array.of(8, 5, 2)]
const items = index.sids.map((_, item) => item)

/** All items by their exact log-probability. */
const bruteForce = Effect.gen(function*() {
  const policy = yield* PolicyModel
  const leaves = Int32Array.from(items, (item) => index.leafOf[item]!)
  const scores = yield* policy.score(
    histories.map((history) => ({ history, leaves })),
    policy.parameters.buffer.tensors("weights")
  )
  return scores.map((list) =>
    list.map((steps, item) => ({ leaf: leaves[item]!, score: steps.reduce((a, b) => a + b, 0) }))
  )
})

describe("BeamSearch.search", () => {
  it.effect("finds every item in its exact order when nothing is pruned", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      yield* enliven(policy)
      const exact = yield* bruteForce
      const found = yield* BeamSearch.search(histories, policy.parameters.buffer.tensors("weights"), { beams: 50 })
      for (const [prompt, ranked] of found.entries()) {
        const order = exact[prompt]!.toSorted((a, b) => b.score - a.score)
        assert.deepStrictEqual([...ranked.leaves], order.map(({ leaf }) => leaf))
        for (const [i, { score }] of order.entries()) assert.closeTo(ranked.logProbs[i]!, score, 2e-5)
        assert.closeTo(ranked.logProbs.reduce((sum, logProb) => sum + Math.exp(logProb), 0), 1, 1e-5)
        assert.isTrue(ranked.leaves.every((leaf) => index.leafOf.includes(leaf)))
      }
    }).pipe(Effect.provide(layer())))

  it.effect("keeps the best prefixes of every level when there are few beams", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      yield* enliven(policy)
      const { trie } = index
      const exact = yield* bruteForce
      const beams = 2
      const found = yield* BeamSearch.search(histories, policy.parameters.buffer.tensors("weights"), { beams })
      for (const [prompt, ranked] of found.entries()) {
        const mass = new Float64Array(trie.nodes)
        for (const { leaf, score } of exact[prompt]!) {
          for (let node = leaf; node >= 0; node = Trie.parent(trie, node)) mass[node]! += Math.exp(score)
        }
        let kept = [0]
        for (let level = 0; level < trie.depth; level++) {
          kept = kept.flatMap((node) => {
            const children = Trie.childNodes(trie, node)
            return children.length === 0 ? [node] : children
          }).toSorted((a, b) => mass[b]! - mass[a]! || a - b).slice(0, beams)
        }
        assert.deepStrictEqual([...ranked.leaves], kept)
      }
    }).pipe(Effect.provide(layer())))

  it.effect("never writes an excluded SID, and all others remain in order", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      yield* enliven(policy)
      const weights = policy.parameters.buffer.tensors("weights")
      const all = yield* BeamSearch.search(histories, weights, { beams: 50 })
      const excluded = histories.map((history) => BeamSearch.leavesOf(index, history))
      const found = yield* BeamSearch.search(histories, weights, { beams: 50, excluded })
      for (const [prompt, ranked] of found.entries()) {
        assert.deepStrictEqual(
          [...ranked.leaves],
          [...all[prompt]!.leaves].filter((leaf) => !excluded[prompt]!.has(leaf))
        )
      }
    }).pipe(Effect.provide(layer())))

  it.effect("gives one prompt what it gives it among others", () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      yield* enliven(policy)
      const weights = policy.parameters.buffer.tensors("weights")
      const together = yield* BeamSearch.searchAll(histories, weights, { beams: 4, batch: 2 })
      for (const [i, history] of histories.entries()) {
        const [alone] = yield* BeamSearch.search([history], weights, { beams: 4 })
        assert.deepStrictEqual(together[i]!.leaves, alone!.leaves)
      }
    }).pipe(Effect.provide(layer())))
})
