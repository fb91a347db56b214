import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BeamSearch from "../../src/decode/BeamSearch.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Prior from "../../src/decode/Prior.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as LiveTrie from "../../src/sid/trie/LiveTrie.ts"
import * as Trie from "../../src/sid/trie/Trie.ts"
import * as Random from "../../src/statistics/Random.ts"
import { enliven, index, layer } from "../policy/Fixture.ts"
import * as RandomPolicy from "./RandomPolicy.ts"

const histories = [Int32Array.of(3, 1), Int32Array.of(), Int32Array.of(8, 5, 2)]
const items = index.sids.map((_, item) => item)
const prompts = histories.map((history) => Prompt.ofItems(history))

/** The weights as they are. */
const weightsNow = Effect.map(PolicyParameters, (store) => ({ version: 0, feeds: store.buffer.tensors("weights") }))

/** All items by their exact log-probability. */
const bruteForce = Effect.gen(function*() {
  const policy = yield* PolicyModel
  const { space } = yield* Sids
  const leaves = Int32Array.from(items, (item) => index.leafOf[item]!)
  const trees = yield* policy.score(prompts.map((prompt) => ({ prompt, leaves })), yield* enliven)
  return trees.map(({ logProbs, nodes, starts }) =>
    Array.from(leaves, (leaf) => ({
      leaf,
      score: LeafSpace.path(space, leaf).reduce((sum, node) => {
        const parent = space.parent(node)
        return sum + logProbs[starts[nodes.indexOf(parent)]! + LeafSpace.childNodes(space, parent).indexOf(node)]!
      }, 0)
    }))
  )
})

const searches = Effect.map(Sids, ({ space }) => prompts.map((prompt) => ({ prompt, space })))

describe("BeamSearch.search", () => {
  it.effect("finds every item in its exact order when nothing is pruned", () =>
    Effect.gen(function*() {
      const exact = yield* bruteForce
      const weights = yield* weightsNow
      const found = yield* BeamSearch.search(yield* searches, weights, { beams: 50 })
      for (const [prompt, ranked] of found.entries()) {
        const order = exact[prompt]!.toSorted((a, b) => b.score - a.score)
        assert.deepStrictEqual([...ranked.leaves], order.map(({ leaf }) => leaf))
        for (const [i, { score }] of order.entries()) assert.closeTo(ranked.logProbs[i]!, score, 2e-5)
        assert.deepStrictEqual(ranked.scores, ranked.logProbs)
        assert.closeTo(ranked.logProbs.reduce((sum, logProb) => sum + Math.exp(logProb), 0), 1, 1e-5)
        assert.isTrue(ranked.leaves.every((leaf) => index.leafOf.includes(leaf)))
      }
    }).pipe(Effect.provide(layer())))

  it.effect("keeps the best prefixes of every level when there are few beams", () =>
    Effect.gen(function*() {
      const { trie } = index
      const exact = yield* bruteForce
      const beams = 2
      const found = yield* BeamSearch.search(yield* searches, yield* weightsNow, { beams })
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

  it.effect("never writes what is left out, and all others remain in order", () =>
    Effect.gen(function*() {
      const weights = yield* enliven
      const all = yield* BeamSearch.search(yield* searches, weights, { beams: 50 })
      const filtered = (yield* searches).map((one, i) => ({
        ...one,
        space: LeafSpace.without(one.space, histories[i]!)
      }))
      const found = yield* BeamSearch.search(filtered, weights, { beams: 50 })
      for (const [prompt, ranked] of found.entries()) {
        assert.deepStrictEqual(
          [...ranked.leaves],
          [...all[prompt]!.leaves].filter((leaf) =>
            !index.sids.some((_, item) => index.leafOf[item] === leaf && histories[prompt]!.includes(item))
          )
        )
      }
    }).pipe(Effect.provide(layer())))

  it.effect("gives one prompt what it gives it among others", () =>
    Effect.gen(function*() {
      const weights = yield* enliven
      const all = yield* searches
      const together = yield* BeamSearch.searchAll(all, weights, { beams: 4, batch: 2 })
      for (const [i, one] of all.entries()) {
        const [alone] = yield* BeamSearch.search([one], weights, { beams: 4 })
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
    const space = LeafSpace.ofTrie(random.trie)
    const searches = histories.map((history) => ({
      prompt: Prompt.ofItems(history),
      space: LeafSpace.without(space, history)
    }))
    return { seed, random, histories, searches }
  })

  it.effect("of n allowed leaves k beams return min(n, k), each allowed, with its own log-probabilities", () =>
    Effect.gen(function*() {
      for (const { histories, random, searches, seed } of cases) {
        for (const beams of [1, 2, 3, 7, 20]) {
          const found = yield* BeamSearch.search(searches, RandomPolicy.weights, { beams }).pipe(
            Effect.provide(RandomPolicy.layer(random, seed))
          )
          for (const [prompt, { leaves, logProbs, steps }] of found.entries()) {
            const all = RandomPolicy.enumerate(random, histories[prompt]!, seed)
            const allowed = all.filter(({ leaf }) => searches[prompt]!.space.ends(leaf))
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
      for (const { histories, random, searches, seed } of cases) {
        const found = yield* BeamSearch.search(searches, RandomPolicy.weights, { beams: random.trie.nodes }).pipe(
          Effect.provide(RandomPolicy.layer(random, seed))
        )
        for (const [prompt, { leaves }] of found.entries()) {
          const all = RandomPolicy.enumerate(random, histories[prompt]!, seed)
          assert.deepStrictEqual(
            [...leaves],
            all.flatMap(({ leaf }) => searches[prompt]!.space.ends(leaf) ? [leaf] : [])
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
        const space = LeafSpace.without(LeafSpace.ofTrie(random.trie), history)
        const [one] = yield* BeamSearch.search([{ prompt: Prompt.ofItems(history), space }], RandomPolicy.weights, {
          beams: Math.max(1, allowed.length)
        }).pipe(Effect.provide(RandomPolicy.layer(random, seed)))
        assert.deepStrictEqual([...one!.leaves], allowed.map(({ leaf }) => leaf), `seed ${seed}`)
      }
    }))

  it.effect("finds exactly the best, whatever is asked for and with any number of beams", () =>
    Effect.gen(function*() {
      for (const { histories, random, searches, seed } of cases) {
        const allowed = RandomPolicy.enumerate(random, histories[0]!, seed).filter(({ leaf }) =>
          searches[0]!.space.ends(leaf)
        )
        for (const beams of [1, 2, 5, 50]) {
          for (const count of [1, beams, beams + 1, 1000]) {
            const found = yield* BeamSearch.searchBest(searches[0]!, RandomPolicy.weights, { beams, count })
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
      const space = LeafSpace.without(LeafSpace.ofTrie(random.trie), history)
      const one = { prompt: Prompt.ofItems(history), space }
      const lists = yield* Effect.forEach([1, 10, 20, 21, 1500, 6000], (count) =>
        BeamSearch.searchBest(one, RandomPolicy.weights, { beams: 20, count }).pipe(
          Effect.provide(RandomPolicy.layer(random, 1))
        ))
      const all = [...lists.at(-1)!.leaves]
      assert.strictEqual(
        all.length,
        new Set(
          Array.from(random.leafOf).filter((leaf) =>
            space.ends(leaf)
          )
        ).size
      )
      assert.strictEqual(new Set(all).size, all.length)
      for (const { leaves } of lists) {
        assert.deepStrictEqual([...leaves], all.slice(0, leaves.length))
      }
      assert.deepStrictEqual(
        lists.map(({ leaves }) => leaves.length),
        [1, 10, 20, 21, 1500, all.length]
      )
      const best = RandomPolicy.enumerate(random, history, 1).filter(({ leaf }) => space.ends(leaf))
      assert.deepStrictEqual(all.slice(0, 20), best.slice(0, 20).map(({ leaf }) => leaf))
    }))

  it.effect("leaves nothing when everything is excluded", () =>
    Effect.gen(function*() {
      for (const { random, seed } of cases.slice(0, 20)) {
        const history = Int32Array.from(random.sids, (_, item) => item)
        const space = LeafSpace.without(LeafSpace.ofTrie(random.trie), history)
        const one = { prompt: Prompt.ofItems(history), space }
        const found = yield* BeamSearch.searchBest(one, RandomPolicy.weights, { beams: 5, count: 5 }).pipe(
          Effect.provide(RandomPolicy.layer(random, seed))
        )
        assert.deepStrictEqual([...found.leaves], [])
      }
    }))

  it.effect("leaves' probabilities sum to one, also where SIDs begin others", () =>
    Effect.gen(function*() {
      for (const { histories, random, seed } of cases.slice(0, 60)) {
        const space = LeafSpace.ofTrie(random.trie)
        const found = yield* BeamSearch.search(
          histories.map((history) => ({ prompt: Prompt.ofItems(history), space })),
          RandomPolicy.weights,
          { beams: random.trie.nodes }
        ).pipe(Effect.provide(RandomPolicy.layer(random, seed)))
        for (const { logProbs } of found) {
          assert.closeTo(logProbs.reduce((sum, logProb) => sum + Math.exp(logProb), 0), 1, 1e-5, `seed ${seed}`)
        }
      }
    }))
})

describe("LeafDecoder.layerBeams", () => {
  it.effect("adds the prior's share of the mass after the policy's own probabilities (brute force)", () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 60; seed++) {
        const random = RandomPolicy.catalogue(5 + seed % 40, 2 + seed % 5, seed)
        const next = Random.uniform(seed, 0x9a55)
        const masses = Float64Array.from(random.sids, () => 0.01 + next())
        const total = masses.reduce((a, b) => a + b, 0)
        const history = Int32Array.from(RandomPolicy.some(random.sids.length, 0.3, seed))
        const prior = (weight: number): Prior.Prior => ({
          name: "drawn",
          weight,
          logMass: (_, space) => Effect.succeed(Prior.ofMasses(space, (item) => masses[item]!))
        })
        for (const weight of [0, 0.5, 4]) {
          const [found] = yield* Effect.gen(function*() {
            const decoder = yield* LeafDecoder
            const space = LeafSpace.without((yield* Sids).space, history)
            const count = random.trie.nodes
            return yield* decoder.decode(
              [{ prompt: Prompt.ofItems(history), count, space, prior: prior(weight) }],
              RandomPolicy.weights
            )
          }).pipe(Effect.provide(RandomPolicy.layers(random, seed)))
          const expected = RandomPolicy.enumerate(random, history, seed).flatMap(({ leaf, logProb }) => {
            const all = [...random.leafOf.keys()].filter((item) => random.leafOf[item] === leaf)
            if (all.every((item) => history.includes(item))) return []
            const mass = all.reduce((sum, item) => sum + masses[item]!, 0)
            return [{ leaf, logProb, score: logProb + weight * Math.log(mass / total) }]
          }).toSorted((a, b) => b.score - a.score)
          assert.strictEqual(found!.leaves.length, expected.length)
          for (const [i, { leaf, logProb, score }] of expected.entries()) {
            assert.strictEqual(found!.leaves[i], leaf)
            assert.closeTo(found!.scores[i]!, score, 1e-4)
            assert.closeTo(found!.logProbs[i]!, logProb, 1e-5)
          }
        }
      }
    }))

  it.effect("in stages is exact, and the list for a count begins that for any greater one, with a prior as without", () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 60; seed++) {
        const random = RandomPolicy.catalogue(5 + seed % 90, 2 + seed % 7, seed)
        const next = Random.uniform(seed, 0x51a6)
        const masses = Float64Array.from(random.sids, () => 0.01 + next())
        const history = Int32Array.from(RandomPolicy.some(random.sids.length, [0, 0.3, 0.9][seed % 3]!, seed))
        const prompt = Prompt.ofItems(history)
        const space = LeafSpace.without(LeafSpace.ofTrie(random.trie), history)
        for (const weight of [undefined, 0.5, 4]) {
          const prior = weight === undefined ? undefined : {
            name: "drawn",
            weight,
            logMass: () => Effect.succeed(Prior.ofMasses(space.whole, (item) => masses[item]!))
          }
          const lists = yield* Effect.gen(function*() {
            const counts = [1, 3, 20, 1000].map((count) => ({ prompt, count, space, prior }))
            return yield* (yield* LeafDecoder).decode(counts, RandomPolicy.weights)
          }).pipe(
            Effect.provide(
              LeafDecoder.layerStages({ beams: 3 }).pipe(Layer.provideMerge(RandomPolicy.layers(random, seed)))
            )
          )
          const massOf = (leaf: number) =>
            masses.reduce((sum, mass, item) => random.leafOf[item] === leaf ? sum + mass : sum, 0)
          const best = RandomPolicy.enumerate(random, history, seed).filter(({ leaf }) => space.ends(leaf)).map((
            { leaf, logProb }
          ) => ({ leaf, score: logProb + (weight ?? 0) * Math.log(massOf(leaf)) }))
            .toSorted((a, b) => b.score - a.score)
          const all = best.map(({ leaf }) => leaf)
          for (const [i, count] of [1, 3, 20, 1000].entries()) {
            assert.deepStrictEqual([...lists[i]!.leaves], all.slice(0, count), `seed ${seed}, weight ${weight}`)
          }
        }
      }
    }))

  it.effect("answers each request with as many leaves as it wants, and refuses none and negative priors", () =>
    Effect.gen(function*() {
      const decoder = yield* LeafDecoder
      const found = yield* decoder.decode(
        [1, 7, 3].map((count) => ({ prompt: Prompt.ofItems(Int32Array.of(0)), count })),
        RandomPolicy.weights
      )
      assert.deepStrictEqual(found.map(({ leaves }) => leaves.length), [1, 7, 3])
      const bad = yield* Effect.flip(
        decoder.decode([{ prompt: Prompt.ofItems(Int32Array.of()), count: 0 }], RandomPolicy.weights)
      )
      assert.include(bad.message, "count of request 0 is 0")
      const prior = { name: "p", weight: -1, logMass: () => Effect.die("not asked") }
      const negative = yield* Effect.flip(
        decoder.decode([{ prompt: Prompt.ofItems(Int32Array.of()), count: 1, prior }], RandomPolicy.weights)
      )
      assert.include(negative.message, "at least 0")
    }).pipe(Effect.provide(RandomPolicy.layers(RandomPolicy.catalogue(50, 5, 3), 3))))

  it.effect("answers from the snapshot that a request holds, whatever is edited meanwhile", () =>
    Effect.gen(function*() {
      const weights = yield* enliven
      const live = LiveTrie.make(index.trie)
      const space = live.snapshot()
      const prompt = Prompt.ofItems(Int32Array.of(2))
      const decode = (given: LeafSpace.LeafSpace) =>
        BeamSearch.search([{ prompt, space: given }], weights, { beams: 20 })
      const [before] = yield* decode(space)
      live.withdraw(0)
      const added = live.insert(9, [0, 3, 1])
      assert.deepStrictEqual(yield* decode(space), [before!])
      const [after] = yield* decode(live.snapshot())
      assert.include([...after!.leaves], added)
      assert.notInclude([...after!.leaves], index.leafOf[0]!)
      assert.closeTo(after!.logProbs.reduce((sum, logProb) => sum + Math.exp(logProb), 0), 1, 1e-5)
    }).pipe(Effect.provide(layer())))
})
