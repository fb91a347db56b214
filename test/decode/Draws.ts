/**
 * Draws counted against the law that they follow.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type RankedLeaves } from "../../src/decode/BeamSearch.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Prior from "../../src/decode/Prior.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as RandomPolicy from "./RandomPolicy.ts"

interface Case {
  readonly seed: number
  readonly share: number
  readonly temperature: number
  readonly weight: number
}

export const cases: ReadonlyArray<Case> = [0, 1, 2, 3].flatMap((seed) => [
  { seed, share: 0, temperature: 1, weight: 0 },
  { seed, share: 0.4, temperature: 1, weight: 0 },
  { seed, share: 0.4, temperature: 0.6, weight: 0 },
  { seed, share: 0.4, temperature: 2, weight: 0.7 }
])

/** A catalogue, its exclusions, its prior, and the law that its allowed leaves are drawn by, written anew. */
export const lawOf = ({ seed, share, temperature, weight }: Case) => {
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

export const decode = (
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

/** Beams that draw. */
export const make = (temperature: number) => LeafDecoder.layerStochasticBeams({ temperature })

/** Frequencies in some cases. */
export const draws = (some: ReadonlyArray<Case>): void =>
  it.effect("LeafDecoder.layerSampling draws each leaf as often as its probability says: exclusions, temperature once, a prior", () =>
    Effect.gen(function*() {
      for (const one of some) {
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

/** Frequencies in some cases. */
export const sets = (some: ReadonlyArray<Case>): void =>
  it.effect("LeafDecoder.layerStochasticBeams draws each set as often as drawing one leaf after the other does", () =>
    Effect.gen(function*() {
      for (const one of some) {
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

/** Frequencies in some cases. */
export const sums = (some: ReadonlyArray<Case>): void =>
  it.effect("LeafDecoder.layerStochasticBeams weighted by its inclusion a draw estimates sums over all allowed leaves without bias", () =>
    Effect.gen(function*() {
      for (const one of some) {
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
