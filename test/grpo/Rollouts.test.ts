import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type RolloutPrompt } from "../../src/grpo/Prompts.ts"
import * as Rollouts from "../../src/grpo/RolloutActor.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import * as RandomPolicy from "../decode/RandomPolicy.ts"

const catalogues = Array.from({ length: 40 }, (_, seed) => {
  const index = RandomPolicy.catalogue(10 + 2 * seed, 2 + seed % 5, seed)
  const prompts = [0.1, 0.5, 0.9].map((share, user): RolloutPrompt => {
    const history = Int32Array.from(RandomPolicy.some(index.sids.length, share, seed + 100 * user))
    // Every other target stands in the history.
    const target = (seed % 2 === 0 ? history[0] : undefined) ?? 0
    return { ordinal: user, history: { user, items: history }, target }
  })
  return { seed, index, prompts }
})

const generate = ({ index, prompts, seed }: (typeof catalogues)[number], groupSize: number, historyExcluded: boolean) =>
  Effect.flatMap(Rollouts.RolloutActor, (actor) => actor.generate(prompts, 1)).pipe(
    Effect.provide(
      Rollouts.RolloutActor.layer({ groupSize, historyExcluded }).pipe(
        Layer.provide(RandomPolicy.layers(index, seed))
      )
    )
  )

describe("RolloutActor.layer", () => {
  it.effect("draws G candidates wherever the catalogue has them", () =>
    Effect.gen(function*() {
      for (const one of catalogues) {
        const all = new Set(one.index.leafOf).size
        for (const historyExcluded of [true, false]) {
          for (const [i, { leaves, prompt }] of (yield* generate(one, 8, historyExcluded)).entries()) {
            assert.strictEqual(prompt, one.prompts[i])
            const space = LeafSpace.without(
              LeafSpace.ofTrie(one.index.trie),
              historyExcluded ? prompt.history.items : []
            )
            const left = new Set(Array.from(one.index.leafOf).filter((leaf) => space.ends(leaf))).size
            assert.isAtMost(left, all)
            assert.strictEqual(leaves.length, Math.min(8, left), `seed ${one.seed}`)
            assert.isTrue(leaves.every((leaf) => space.ends(leaf)))
          }
        }
      }
    }))
})

describe("RolloutActor.rewardGroup", () => {
  it.effect("shows rewards the items that may be recommended, and no hit for a target that may not", () =>
    Effect.gen(function*() {
      let [repeated, found] = [0, 0]
      for (const one of catalogues) {
        for (const historyExcluded of [true, false]) {
          for (const rollout of yield* generate(one, 200, historyExcluded)) {
            const group = Rollouts.rewardGroup(rollout)
            const { history, target } = group
            for (const [i, item] of group.items.entries()) {
              const open = [...Trie.items(one.index.trie, rollout.leaves[i]!)].find((other) =>
                !historyExcluded || !history.includes(other)
              )
              assert.strictEqual(item, open)
            }
            const hits = group.hits.filter((hit) => hit).length
            const out = historyExcluded && history.includes(target)
            assert.strictEqual(hits, out ? 0 : 1)
            if (out) repeated++
            else found++
          }
        }
      }
      assert.isAbove(repeated, 20)
      assert.isAbove(found, 20)
    }))
})
