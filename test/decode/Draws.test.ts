/**
 * Everything that is drawn, against enumeration.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Decoders from "../../src/decode/DecoderConfig.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Prior from "../../src/decode/Prior.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import type { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as FlatFixture from "../policy/Fixture.ts"
import { cases, decode, draws, lawOf, make, sets, sums } from "./Draws.ts"
import * as RandomPolicy from "./RandomPolicy.ts"

// Every case has its turn in the long suite.
const some = cases.slice(0, 4)
draws(some)
sets(some)
sums(some)

describe("LeafDecoder.layerStochasticBeams", () => {
  it.effect("returns min(n, k) distinct leaves, with inclusion 1 when nothing is left", () =>
    Effect.gen(function*() {
      for (const one of cases) {
        const law = lawOf(one)
        for (const count of [1, 3, 50]) {
          for (const list of yield* decode(law, one.seed, make(one.temperature), { count, times: 5 })) {
            assert.strictEqual(new Set(list.leaves).size, Math.min(count, law.laws.length))
            assert.strictEqual(list.leaves.length, Math.min(count, law.laws.length))
            if (count >= law.laws.length) assert.isTrue(list.inclusion!.every((logProb) => logProb === 0))
          }
        }
      }
    }))

  it.effect("is what sampling without replacement draws", () =>
    Effect.gen(function*() {
      for (const one of cases) {
        const { seed, temperature } = one
        const requests = { count: 3, times: 20 }
        assert.deepStrictEqual(
          yield* decode(lawOf(one), seed, LeafDecoder.layerSampling({ temperature }), requests),
          yield* decode(lawOf(one), seed, make(temperature), requests)
        )
      }
    }))
})

describe("Decoders that draw", () => {
  const layers = ["sampling", "stochastic-beams"].map((kind) =>
    Decoders.layer(Schema.decodeUnknownSync(Decoders.DecoderConfig)({ kind, batch: 3 }))
  )

  it.effect("draw a request again from its key, whatever stands beside it, and something else from another key", () =>
    Effect.gen(function*() {
      const law = lawOf(cases[1]!)
      for (const layer of layers) {
        const all = yield* decode(law, 0, layer, { count: 2, times: 40 })
        const later = yield* decode(law, 0, layer, { count: 2, times: 33, from: 7 })
        assert.deepStrictEqual(later, all.slice(7))
        assert.isAbove(new Set(all.map(({ leaves }) => leaves.join())).size, 1)
      }
    }))

  it.effect("return nothing when everything is left out", () =>
    Effect.gen(function*() {
      const { index, ...law } = lawOf(cases[0]!)
      const space = LeafSpace.without(law.space, index.sids.keys())
      for (const layer of [...layers, LeafDecoder.layerExact(), LeafDecoder.layerSampling({ replacement: true })]) {
        const [found] = yield* decode({ ...law, index, space }, 0, layer, { count: 4, times: 1 })
        assert.deepStrictEqual([...found!.leaves], [])
      }
    }))

  it.effect("refuse a temperature of 0", () =>
    Effect.gen(function*() {
      const failed = yield* Effect.flip(
        decode(lawOf(cases[0]!), 0, LeafDecoder.layerSampling({ temperature: 0 }), { count: 1, times: 1 })
      )
      assert.include(failed.message, "temperature of request 0 is 0")
    }))
})

describe("LeafDecoder.layerExact", () => {
  it.effect("returns the best leaves and the probability of the rest (enumeration)", () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 120; seed++) {
        const one = { seed, share: [0, 0.3, 0.9][seed % 3]!, temperature: 1, weight: [0, 0.5, 3][seed % 4] ?? 0 }
        const index = RandomPolicy.catalogue(5 + seed % 90, 2 + seed % 7, seed)
        const law = { ...lawOf(one), index }
        const history = Int32Array.from(RandomPolicy.some(index.sids.length, one.share, seed))
        const space = LeafSpace.without(LeafSpace.ofTrie(index.trie), history)
        const mass = (item: number) => 1 + item % 5
        const prior: Prior.Prior = {
          name: "drawn",
          weight: one.weight,
          logMass: (_, within) => Effect.succeed(Prior.ofMasses(within, mass))
        }
        const total = index.sids.reduce((sum, _, item) => sum + mass(item), 0)
        const expected = RandomPolicy.enumerate(index, history, seed).filter(({ leaf }) => space.ends(leaf)).map(
          ({ leaf, logProb }) => {
            const own = index.sids.reduce((sum, _, item) => index.leafOf[item] === leaf ? sum + mass(item) : sum, 0)
            return { leaf, logProb, score: logProb + one.weight * Math.log(own / total) }
          }
        ).toSorted((a, b) => b.score - a.score)
        for (const count of [1, 4, 1000]) {
          const [found] = yield* decode(
            { ...law, prompt: Prompt.ofItems(history), space, prior },
            seed,
            LeafDecoder.layerExact(),
            { count, times: 1 }
          )
          const { leaves, logProbs, scores, tail } = found!
          const best = expected.slice(0, count)
          assert.deepStrictEqual([...leaves], best.map(({ leaf }) => leaf), `seed ${seed}, best ${count}`)
          for (const [i, { logProb, score }] of best.entries()) {
            assert.closeTo(logProbs[i]!, logProb, 1e-5)
            assert.closeTo(scores[i]!, score, 1e-4)
          }
          const rest = expected.slice(count).reduce((sum, { logProb }) => sum + Math.exp(logProb), 0)
          const unlisted = 1 - best.reduce((sum, { logProb }) => sum + Math.exp(logProb), 0)
          assert.isAtLeast(tail!, rest - 1e-5)
          assert.isAtMost(tail!, unlisted + 1e-5)
          if (history.length === 0) assert.closeTo(tail!, rest, 1e-5)
        }
      }
    }))

  it.effect("agrees with beams that prune nothing on a network, and tells a search that would not end", () =>
    Effect.gen(function*() {
      const weights = yield* FlatFixture.enliven
      const requests = [[3, 1], [], [8, 5, 2]].map((items) => ({
        prompt: Prompt.ofItems(Int32Array.from(items)),
        count: 5
      }))
      const by = (layer: Layer.Layer<LeafDecoder, never, Sids>, count: number) =>
        Effect.flatMap(LeafDecoder, (decoder) => decoder.decode(requests.map((one) => ({ ...one, count })), weights))
          .pipe(Effect.provide(layer))
      const beams = yield* by(LeafDecoder.layerBeams(), 50)
      for (const [i, { leaves, logProbs, tail }] of (yield* by(LeafDecoder.layerExact(), 5)).entries()) {
        assert.deepStrictEqual(leaves, beams[i]!.leaves.slice(0, 5))
        for (const [l, logProb] of logProbs.entries()) assert.closeTo(logProb, beams[i]!.logProbs[l]!, 2e-5)
        const rest = beams[i]!.logProbs.slice(5).reduce((sum, logProb) => sum + Math.exp(logProb), 0)
        assert.closeTo(tail!, rest, 1e-5)
      }
      const failed = yield* Effect.flip(by(LeafDecoder.layerExact({ prefixes: 2 }), 5))
      assert.include(failed.message, "finding 5 SIDs of a prompt needs more than 2 expanded prefixes")
    }).pipe(Effect.provide(FlatFixture.layer())))
})
