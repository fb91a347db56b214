/**
 * Everything that is drawn, against enumeration.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type RankedLeaves } from "../../src/decode/BeamSearch.ts"
import * as Decoders from "../../src/decode/DecoderConfig.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Prior from "../../src/decode/Prior.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as FlatFixture from "../policy/Fixture.ts"
import * as RandomPolicy from "./RandomPolicy.ts"

interface Case {
  readonly seed: number
  readonly share: number
  readonly temperature: number
  readonly weight: number
}

const cases: ReadonlyArray<Case> = [0, 1, 2, 3].flatMap((seed) => [
  { seed, share: 0, temperature: 1, weight: 0 },
  { seed, share: 0.4, temperature: 1, weight: 0 },
  { seed, share: 0.4, temperature: 0.6, weight: 0 },
  { seed, share: 0.4, temperature: 2, weight: 0.7 }
])

/** A catalogue, its exclusions, its prior, and the law that its allowed leaves are drawn by, written anew. */
const lawOf = ({ seed, share, temperature, weight }: Case) => {
  const index = RandomPolicy.catalogue(8 + seed, 3, seed)
  const history = Int32Array.from(RandomPolicy.some(index.sids.length, share, seed))
  const whole = LeafSpace.ofTrie(index.trie)
  const space = LeafSpace.without(whole, history)
  const next = Random.uniform(seed, 0x1a3)
  const masses = Float64Array.from(index.sids, () => 0.05 + next())
  const prior: Prior.Prior | undefined = weight === 0 ? undefined : {
    name: "drawn",
    weight,
    logMass: (_, within) => Effect.succeed(Prior.ofMasses(within, (item) => masses[item]!))
  }
  const all = RandomPolicy.enumerate(index, history, seed)
  /** Siblings of every step: the steps of a node, a child by its number and the end by -1. */
  const after = new Map<number, Map<number, number>>()
  const pathOf = (leaf: number, steps: ReadonlyArray<number>) => {
    const nodes = [0, ...LeafSpace.path(whole, leaf)]
    return steps.map((step, l) => ({ from: nodes[l]!, to: nodes[l + 1] ?? -1, step }))
  }
  for (const { leaf, steps } of all) {
    for (const { from, step, to } of pathOf(leaf, steps)) {
      after.set(from, (after.get(from) ?? new Map<number, number>()).set(to, step))
    }
  }
  const laws = all.filter(({ leaf }) => space.ends(leaf)).map(({ leaf, logProb, steps }) => {
    const sharpened = pathOf(leaf, steps).map(({ from, step }) => {
      const sum = [...after.get(from)!.values()].reduce((a, other) => a + Math.exp(other) ** (1 / temperature), 0)
      return Math.exp(step) ** (1 / temperature) / sum
    })
    const mass = index.sids.reduce((sum, _, item) => index.leafOf[item] === leaf ? sum + masses[item]! : sum, 0)
    return { leaf, logProb, mass: sharpened.reduce((a, b) => a * b, 1) * mass ** weight }
  })
  const total = laws.reduce((sum, { mass }) => sum + mass, 0)
  return {
    index,
    prior,
    space,
    prompt: Prompt.ofItems(history),
    laws: laws.map(({ leaf, logProb, mass }) => ({ leaf, logProb, probability: mass / total }))
  }
}

const decode = (
  one: ReturnType<typeof lawOf>,
  seed: number,
  decoder: Layer.Layer<LeafDecoder, never, Sids>,
  requests: { readonly count: number; readonly times: number; readonly from?: number }
) =>
  Effect.flatMap(LeafDecoder, (service) =>
    service.decode(
      Array.from({ length: requests.times }, (_, trial) => ({
        prompt: one.prompt,
        space: one.space,
        prior: one.prior,
        count: requests.count,
        key: [7, (requests.from ?? 0) + trial]
      })),
      RandomPolicy.weights
    )).pipe(
      Effect.provide([
        RandomPolicy.layer(one.index, seed),
        decoder.pipe(Layer.provide(Sids.layer(one.index)))
      ])
    )

/** Fails where a count is further from its expectation than 4.5 standard deviations. */
const assertFrequent = (count: number, trials: number, probability: number, what: string) =>
  assert.isAtMost(
    Math.abs(count - trials * probability),
    4.5 * Math.sqrt(trials * probability * (1 - probability)) + 1,
    `${what}: ${count} of ${trials}, probability ${probability}`
  )

/** Fails unless leaves are allowed, best first by probability and prior, and have the policy's own log-probabilities. */
const assertRanked = ({ laws }: ReturnType<typeof lawOf>, { leaves, logProbs, scores, steps }: RankedLeaves) => {
  for (const [i, leaf] of leaves.entries()) {
    const { logProb } = laws.find((other) => other.leaf === leaf)!
    assert.closeTo(logProbs[i]!, logProb, 1e-5)
    assert.closeTo(steps[i]!.reduce((a, b) => a + b, 0), logProb, 1e-5)
    if (i > 0) assert.isAtMost(scores[i]!, scores[i - 1]!)
  }
}

describe("LeafDecoder.layerSampling", () => {
  it.effect("draws each leaf as often as its probability says: exclusions, temperature once, a prior", () =>
    Effect.gen(function*() {
      for (const one of cases) {
        const law = lawOf(one)
        const sampling = LeafDecoder.layerSampling({ temperature: one.temperature, replacement: true })
        const found = yield* decode(law, one.seed, sampling, { count: 25, times: 100 })
        const counts = new Map<number, number>()
        for (const list of found) {
          assert.strictEqual(list.leaves.length, 25)
          assertRanked(law, list)
          for (const leaf of list.leaves) counts.set(leaf, (counts.get(leaf) ?? 0) + 1)
        }
        for (const { leaf, probability } of law.laws) {
          assertFrequent(counts.get(leaf) ?? 0, 25 * 100, probability, `${JSON.stringify(one)}, leaf ${leaf}`)
        }
      }
    }))
})

const make = (temperature: number) => LeafDecoder.layerStochasticBeams({ temperature })

describe("LeafDecoder.layerStochasticBeams", () => {
  it.effect("draws each set as often as drawing one leaf after the other does", () =>
    Effect.gen(function*() {
      for (const one of cases) {
        const law = lawOf(one)
        const trials = 1500
        const found = yield* decode(law, one.seed, make(one.temperature), { count: 2, times: trials })
        const counts = new Map<string, number>()
        const key = (a: number, b: number) => `${Math.min(a, b)} ${Math.max(a, b)}`
        for (const list of found) {
          assertRanked(law, list)
          const id = key(list.leaves[0]!, list.leaves[1]!)
          counts.set(id, (counts.get(id) ?? 0) + 1)
        }
        for (const [i, a] of law.laws.entries()) {
          for (const b of law.laws.slice(i + 1)) {
            const [p, q] = [a.probability, b.probability]
            const both = p * q / (1 - p) + q * p / (1 - q)
            const id = key(a.leaf, b.leaf)
            assertFrequent(counts.get(id) ?? 0, trials, both, `${JSON.stringify(one)}, leaves ${id}`)
          }
        }
      }
    }))

  it.effect("weighted by its inclusion a draw estimates sums over all allowed leaves without bias", () =>
    Effect.gen(function*() {
      for (const one of cases) {
        const law = lawOf(one)
        const trials = 1000
        const found = yield* decode(law, one.seed, make(one.temperature), { count: 3, times: trials })
        const value = (leaf: number) => Math.sin(leaf) + 2
        const estimates = found.map(({ inclusion, leaves, logProbs }) =>
          leaves.reduce((sum, leaf, i) => sum + Math.exp(logProbs[i]! - inclusion![i]!) * value(leaf), 0)
        )
        const mean = estimates.reduce((a, b) => a + b, 0) / trials
        const variance = estimates.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (trials - 1)
        const expected = law.laws.reduce((sum, { leaf, logProb }) => sum + Math.exp(logProb) * value(leaf), 0)
        assert.closeTo(mean, expected, 4.5 * Math.sqrt(variance / trials) + 1e-6, JSON.stringify(one))
      }
    }))

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
