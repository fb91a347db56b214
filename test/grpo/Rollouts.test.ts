import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BeamSearch from "../../src/decode/BeamSearch.ts"
import * as Grpo from "../../src/grpo/Grpo.ts"
import { type Prompt, RolloutActor } from "../../src/grpo/RolloutActor.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import * as RandomPolicy from "../decode/RandomPolicy.ts"

const catalogues = Array.from({ length: 40 }, (_, seed) => {
  const index = RandomPolicy.catalogue(10 + 2 * seed, 2 + seed % 5, seed)
  const prompts = [0.1, 0.5, 0.9].map((share, user): Prompt => {
    const history = Int32Array.from(RandomPolicy.some(index.sids.length, share, seed + 100 * user))
    // Every other target stands in the history.
    const target = (seed % 2 === 0 ? history[0] : undefined) ?? 0
    return { user, history, target }
  })
  return { seed, index, prompts }
})

const generate = ({ index, prompts, seed }: (typeof catalogues)[number], groupSize: number, historyExcluded: boolean) =>
  Effect.flatMap(RolloutActor, (actor) => actor.generate(prompts)).pipe(
    Effect.provide(
      RolloutActor.layerBeams({ groupSize, batch: 2, historyExcluded }).pipe(
        Layer.provide(RandomPolicy.layer(index, seed))
      )
    )
  )

describe("RolloutActor.layerBeams", () => {
  it.effect("draws G candidates wherever the catalogue has them", () =>
    Effect.gen(function*() {
      for (const one of catalogues) {
        const all = new Set(one.index.leafOf).size
        for (const historyExcluded of [true, false]) {
          for (const [i, { leaves, prompt }] of (yield* generate(one, 8, historyExcluded)).entries()) {
            assert.strictEqual(prompt, one.prompts[i])
            const gone = historyExcluded ? BeamSearch.leavesOf(one.index, prompt.history) : new Set()
            assert.strictEqual(leaves.length, Math.min(8, all - gone.size), `seed ${one.seed}`)
            assert.isFalse(leaves.some((leaf) => gone.has(leaf)))
          }
        }
      }
    }))
})

describe("Grpo.rewardGroup", () => {
  it.effect("shows rewards the items that may be recommended, and no hit for a target that may not", () =>
    Effect.gen(function*() {
      let [repeated, found] = [0, 0]
      for (const one of catalogues) {
        for (const historyExcluded of [true, false]) {
          for (const rollout of yield* generate(one, 200, historyExcluded)) {
            const { history, target } = rollout.prompt
            const group = Grpo.rewardGroup(one.index, rollout, historyExcluded)
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
