/**
 * The gradients of the families with one position per item, and of candidates after text, by differences of their losses
 * in float32.
 *
 * Along its own gradient a loss must rise by the gradient's length, and along directions at right angles to it not at
 * all: together no entry of a parameter can be wrong. Differences are of fourth order, so that steps may be wide enough
 * for float32.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Candidates from "../../src/grpo/rollout/Candidates.ts"
import * as Distillation from "../../src/objective/loss/Distillation.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import type * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import { ItemPolicyConfig } from "../../src/policy/item/ItemPolicyConfig.ts"
import { type LossTerms, PolicyModel, type ScoredGroup } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { type SidIndex } from "../../src/sid/SidIndex.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as Random from "../../src/statistics/Random.ts"
import {
  catalogues,
  enliven,
  families,
  type Family,
  itemFamilies,
  layer,
  settings,
  timed,
  timedFamilies,
  timesOf
} from "./FamilyFixture.ts"

/** The step of every gradient here. */
export const step = { seed: 3, step: 5 }

/** One block: the differences of every parameter are taken. */
const shallow = Schema.decodeSync(ItemPolicyConfig)({ ...settings, layers: 1 })

/** Gradients by parameter. */
export const gradientsOf = ({ buffer }: ParameterStore.ParameterStore) =>
  new Map(
    buffer.slots.flatMap(({ name, trainable }) =>
      trainable ? [[name, buffer.view("gradients", name).slice()] as const] : []
    )
  )

const length = (values: ArrayLike<number>) =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0))

/** Returns unit directions: that of the gradient, and two at right angles to it. */
const directionsOf = (gradient: Float32Array, key: number): ReadonlyArray<Float64Array> => {
  const own = length(gradient)
  const along = Float64Array.from(gradient, (value) => own > 0 ? value / own : 0)
  const others = [0, 1].map((k) => {
    const normal = Random.normal(key, k)
    const drawn = along.map(() => normal())
    const part = drawn.reduce((sum, value, i) => sum + value * along[i]!, 0)
    const across = drawn.map((value, i) => value - part * along[i]!)
    const size = length(across)
    // A vector of one entry has no direction across.
    return size > 1e-6 ? across.map((value) => value / size) : across.fill(0)
  })
  return own > 0 ? [along, ...others] : others
}

/** Compares the gradient of every parameter with differences over steps of `h`; returns the length of each. */
const compare = Effect.fnUntraced(function*<E, R>(
  { buffer }: ParameterStore.ParameterStore,
  gradients: ReadonlyMap<string, Float32Array>,
  loss: Effect.Effect<LossTerms, E, R>,
  h = 0.01
) {
  const lengths: Record<string, number> = {}
  for (const [at, { name }] of buffer.slots.entries()) {
    const gradient = gradients.get(name)!
    const size = length(gradient)
    lengths[name] = size
    const weights = buffer.view("weights", name)
    const kept = weights.slice()
    for (const direction of directionsOf(gradient, at)) {
      const moved = Effect.fnUntraced(function*(by: number) {
        direction.forEach((value, i) => (weights[i] = kept[i]! + by * value))
        return (yield* loss).loss
      })
      const slope = (8 * ((yield* moved(h)) - (yield* moved(-h))) - ((yield* moved(2 * h)) - (yield* moved(-2 * h)))) /
        (12 * h)
      weights.set(kept)
      const expected = direction.reduce((sum, value, i) => sum + value * gradient[i]!, 0)
      assert.closeTo(slope, expected, 0.01 * size + 3e-4, `${name}: ${size}`)
    }
  }
  return lengths
})

/** Parameters that the generated SIDs do not depend on. */
const itemHead = /^item\.head\./

const histories = [[], [4], [3, 7, 1], [8, 2, 6, 0, 5]]

/** Groups with advantages, behaviours and references of their own; two of them with forced steps. */
export const groupsOf = Effect.fnUntraced(function*(index: SidIndex) {
  const policy = yield* PolicyModel
  const { space } = yield* Sids
  const { buffer } = yield* PolicyParameters
  const chosen = [[0, 1, 4, 5], [0, 5, 6, 7], [8, 2, 6, 1], [3, 7, 5, 0]]
  const groups = histories.map((items, g) => ({
    prompt: timed(items),
    leaves: Int32Array.from(chosen[g]!, (item) => index.leafOf[item]!)
  }))
  const trees = yield* policy.score(groups, { version: 0, feeds: buffer.tensors("weights") })
  return groups.map((group, g): ScoredGroup => ({
    ...group,
    forced: g % 2,
    advantages: Float32Array.from(group.leaves, (_, c) => 1.5 * Math.sin(3 * g + c)),
    behaviour: Array.from(
      group.leaves,
      (leaf, c) => Candidates.stepsIn(space, trees[g]!, leaf).map((logProb, l) => logProb - 0.1 * Math.sin(c + l))
    ),
    reference: { ...trees[g]!, logProbs: trees[g]!.logProbs.map((logProb, e) => logProb - 0.3 * Math.cos(e + g)) },
    answer: Array.from(group.leaves, (_, c) => c === 1)
  }))
})

/** Objectives over candidates by name. */
export const objectives = {
  "GRPO": GroupRelative.make({ beta: 0.3, divergence: "exact" }),
  "distillation": Distillation.make({ temperature: 0.7, reverse: 0.3, rest: "held" })
}

/** Examples with times and weights. */
export const examples = [[0, 4, 7], [8], [2, 3, 5, 6, 1, 0], [5, 5]].map((items, user): Prompt.TrainingExample => ({
  ...Prompt.everyPosition({ user, items: Int32Array.from(items), times: timesOf(items.length) }),
  weight: 1 + user
}))

/** One family with the settings of all options, and without any. */
const cases = [
  ...itemFamilies.map((family) => ({ family, what: family.name, own: shallow })),
  ...timedFamilies.map((family) => ({
    family,
    what: `${family.name}, times and smoothed targets`,
    own: new ItemPolicyConfig({ ...shallow, labelSmoothing: 0.2 })
  }))
]

/** Compares the gradients of every objective over candidates. */
const overCandidates = (
  family: Family,
  [name, index]: typeof catalogues[number],
  isTried: (objective: number) => boolean
) => {
  for (const [o, [what, objective]] of Object.entries(objectives).entries()) {
    if (!isTried(o)) continue
    it.effect(`of ${what} over candidates, for every parameter: ${name}`, () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        yield* enliven
        const groups = yield* groupsOf(index)
        const gradient = yield* policy.groupGradient(objective)
        const loss = gradient.accumulate(store, [{ batch: groups }], step)
        yield* loss
        // Embeddings are small, and a wide step along all of them would meet the clipping of ratios.
        const lengths = yield* compare(store, gradientsOf(store), loss, family.text ? 0.005 : undefined)
        for (const [parameter, size] of Object.entries(lengths)) {
          if (itemHead.test(parameter)) assert.strictEqual(size, 0, parameter)
          else assert.isAbove(size, 3e-3, parameter)
        }
      }).pipe(Effect.scoped, Effect.provide(layer(family, index, shallow))))
  }
}

/** Gradients over candidates, where a turn by family, catalogue and objective is wanted. */
export const candidates = (isTried: (turn: number) => boolean): void => {
  for (const [f, family] of [...families, ...timedFamilies].entries()) {
    if (family.name === "flat") continue
    const times = timedFamilies.includes(family) ? " that reads times" : ""
    describe(`the gradients of the ${family.name} policy${times}`, () => {
      for (const [c, catalogue] of catalogues.entries()) {
        // The sums of the text policy take ten times as long.
        if (!family.text || c > 0) overCandidates(family, catalogue, (o) => isTried(f + c + o))
      }
    })
  }
}

/** Gradients of the supervised loss, where a turn by family and catalogue is wanted. */
export const supervised = (isTried: (turn: number) => boolean): void => {
  for (const [f, { family, own, what }] of cases.entries()) {
    for (const [c, [name, index]] of catalogues.entries()) {
      if (!isTried(f + c)) continue
      describe(`the gradients of the policy: ${what}, ${name}`, () => {
        const provided = Effect.provide(layer(family, index, own))

        it.effect("of the supervised loss, for every parameter", () =>
          Effect.gen(function*() {
            const policy = yield* PolicyModel
            const store = yield* PolicyParameters
            yield* enliven
            const gradient = yield* policy.supervised
            const [batch, ...others] = yield* policy.plan(
              [
                ...examples,
                { prompt: Prompt.ofItems(Int32Array.of(1, 6)), answer: [{ item: 3 }], weight: 2 }
              ],
              1,
              0
            )
            assert.strictEqual(others.length, 0)
            const loss = gradient.accumulate(store, [{ batch: batch! }], step)
            const { item, loss: whole, ...terms } = yield* loss
            const [own] = Object.values(terms)
            assert.deepStrictEqual(Object.keys(terms), [family.local ? "sid" : "digits"])
            assert.closeTo(whole, item! + own!, 1e-5)
            const lengths = yield* compare(store, gradientsOf(store), loss)
            for (const [parameter, size] of Object.entries(lengths)) assert.isAbove(size, 1e-3, parameter)
          }).pipe(Effect.scoped, provided))
      })
    }
  }
}
