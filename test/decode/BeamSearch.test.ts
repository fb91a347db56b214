import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BeamSearch from "../../src/decode/BeamSearch.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import { enliven, index, layer } from "../policy/Fixture.ts"
import * as RandomPolicy from "./RandomPolicy.ts"

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

describe("BeamSearch on random catalogues", () => {
  const cases = Array.from({ length: 240 }, (_, seed) => {
    const random = RandomPolicy.catalogue(5 + seed % 90, 2 + seed % 7, seed)
    // Few exclusions, a large share, and nearly everything.
    const leftOut = [0.1, 0.6, 0.95][seed % 3]!
    const histories = [0, 1, 2].map((h) =>
      Int32Array.from(RandomPolicy.some(random.sids.length, leftOut, 10 * seed + h))
    )
    return { seed, random, histories, excluded: histories.map((history) => BeamSearch.leavesOf(random, history)) }
  })

  it.effect("of n allowed leaves k beams return min(n, k), each allowed, with its own log-probabilities", () =>
    Effect.gen(function*() {
      for (const { excluded, histories, random, seed } of cases) {
        for (const beams of [1, 2, 3, 7, 20]) {
          const found = yield* BeamSearch.search(histories, {}, { beams, excluded }).pipe(
            Effect.provide(RandomPolicy.layer(random, seed))
          )
          for (const [prompt, { leaves, logProbs, steps }] of found.entries()) {
            const all = RandomPolicy.enumerate(random, histories[prompt]!, seed)
            const allowed = all.filter(({ leaf }) => !excluded[prompt]!.has(leaf))
            assert.strictEqual(leaves.length, Math.min(allowed.length, beams), `seed ${seed}, ${beams} beams`)
            assert.strictEqual(new Set(leaves).size, leaves.length)
            for (const [i, leaf] of leaves.entries()) {
              const expected = allowed.find((other) => other.leaf === leaf)!
              assert.closeTo(logProbs[i]!, expected.logProb, 1e-5)
              assert.deepStrictEqual([...steps[i]!], expected.steps)
              if (i > 0) assert.isAtMost(logProbs[i]!, logProbs[i - 1]!)
            }
          }
        }
      }
    }))

  it.effect("is enumeration when nothing is pruned", () =>
    Effect.gen(function*() {
      for (const { excluded, histories, random, seed } of cases) {
        const found = yield* BeamSearch.search(histories, {}, { beams: random.trie.nodes, excluded }).pipe(
          Effect.provide(RandomPolicy.layer(random, seed))
        )
        for (const [prompt, { leaves }] of found.entries()) {
          const all = RandomPolicy.enumerate(random, histories[prompt]!, seed)
          assert.deepStrictEqual(
            [...leaves],
            all.flatMap(({ leaf }) => excluded[prompt]!.has(leaf) ? [] : [leaf])
          )
        }
      }
    }))

  it.effect("spends no beam on what is excluded: the catalogue without it gives the same", () =>
    Effect.gen(function*() {
      // Half of the first codes are excluded whole, so the others keep their nodes' order and scores.
      for (const { random, seed } of cases) {
        const gone = random.sids.flatMap((sid, item) => sid[0]! % 2 === 0 ? [item] : [])
        const history = Int32Array.from(gone)
        const allowed = RandomPolicy.enumerate(random, history, seed).filter(({ leaf }) =>
          Trie.codes(random.trie, leaf)[0]! % 2 === 1
        )
        const [one] = yield* BeamSearch.search([history], {}, {
          beams: Math.max(1, allowed.length),
          excluded: [BeamSearch.leavesOf(random, history)]
        }).pipe(Effect.provide(RandomPolicy.layer(random, seed)))
        assert.deepStrictEqual([...one!.leaves], allowed.map(({ leaf }) => leaf), `seed ${seed}`)
      }
    }))

  it.effect("finds exactly the best, whatever is asked for and with any number of beams", () =>
    Effect.gen(function*() {
      for (const { excluded, histories, random, seed } of cases) {
        const allowed = RandomPolicy.enumerate(random, histories[0]!, seed).filter(({ leaf }) =>
          !excluded[0]!.has(leaf)
        )
        for (const beams of [1, 2, 5, 50]) {
          for (const count of [1, beams, beams + 1, 1000]) {
            const found = yield* BeamSearch.searchBest(histories[0]!, {}, { beams, count, excluded: excluded[0]! })
              .pipe(Effect.provide(RandomPolicy.layer(random, seed)))
            const expected = allowed.slice(0, count)
            assert.deepStrictEqual([...found.leaves], expected.map(({ leaf }) => leaf), `seed ${seed}`)
            assert.deepStrictEqual(found.steps.map((steps) => [...steps]), expected.map(({ steps }) => steps))
          }
        }
      }
    }))

  it.effect("lists of a large catalogue begin each other, up to all that is left", () =>
    Effect.gen(function*() {
      const random = RandomPolicy.catalogue(6000, 40, 1)
      const history = Int32Array.from(RandomPolicy.some(6000, 0.1, 1))
      const excluded = BeamSearch.leavesOf(random, history)
      const lists = yield* Effect.forEach([1, 10, 20, 21, 1500, 6000], (count) =>
        BeamSearch.searchBest(history, {}, { beams: 20, count, excluded }).pipe(
          Effect.provide(RandomPolicy.layer(random, 1))
        ))
      const all = [...lists.at(-1)!.leaves]
      assert.strictEqual(all.length, new Set(random.leafOf).size - excluded.size)
      assert.strictEqual(new Set(all).size, all.length)
      for (const { leaves } of lists) {
        assert.deepStrictEqual([...leaves], all.slice(0, leaves.length))
      }
      assert.deepStrictEqual(
        lists.map(({ leaves }) =>
          leaves.length
        ),
        [1, 10, 20, 21, 1500, all.length]
      )
      const best = RandomPolicy.enumerate(random, history, 1).filter(({ leaf }) => !excluded.has(leaf))
      assert.deepStrictEqual(all.slice(0, 20), best.slice(0, 20).map(({ leaf }) => leaf))
    }))

  it.effect("leaves nothing when everything is excluded", () =>
    Effect.gen(function*() {
      for (const { random, seed } of cases.slice(0, 20)) {
        const history = Int32Array.from(random.sids, (_, item) => item)
        const excluded = BeamSearch.leavesOf(random, history)
        const found = yield* BeamSearch.searchBest(history, {}, { beams: 5, count: 5, excluded }).pipe(
          Effect.provide(RandomPolicy.layer(random, seed))
        )
        assert.deepStrictEqual([...found.leaves], [])
      }
    }))
})
