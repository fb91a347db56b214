/**
 * A flat policy with adapters.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import type * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as FlatPolicy from "../../src/policy/flat/FlatPolicy.ts"
import * as Lora from "../../src/policy/lora/Lora.ts"
import * as LoraConfig from "../../src/policy/lora/LoraConfig.ts"
import * as LoraLayer from "../../src/policy/lora/LoraLayer.ts"
import { type CandidateGroup, PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import * as Random from "../../src/statistics/Random.ts"
import { distance } from "../Golden.ts"
import { type Backend } from "../tensor/Backends.ts"
import { config as plain, index, layerOn } from "./Fixture.ts"

export const decode = Schema.decodeUnknownResult(LoraConfig.LoraConfig, { errors: "all", onExcessProperty: "error" })
export const configOf = Schema.decodeSync(LoraConfig.LoraConfig)

export const lora = configOf({ rank: 3, alpha: 6 })
export const adaptedPolicy = Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ ...plain, lora: { rank: 3, alpha: 6 } })
export const onnx = OnnxRuntime.layerCpu({ threads: 2 })

/** Values of a name, the same in every store. */
export const drawn = (name: string, size: number, deviation: number): Float32Array => {
  const normal = Random.normal(...Buffer.from(name))
  return Float32Array.from({ length: size }, () => normal() * deviation)
}

/** Fills the matrices of a store, all or the base's: well apart from 0, so that nothing is nearly uniform. */
export const enliven = ({ buffer }: ParameterStore.ParameterStore, adapters = true) => {
  for (const { name, shape, size } of buffer.slots) {
    if (shape.length > 1 && (adapters || !name.startsWith(LoraLayer.prefix))) {
      buffer.view("weights", name).set(drawn(name, size, 0.2))
    }
  }
}

export const examples = [Int32Array.of(0, 4, 7), Int32Array.of(2, 3, 5, 6)].map((items, user) =>
  Prompt.everyPosition({ user, items })
)
export const groups: ReadonlyArray<CandidateGroup> = [Int32Array.of(4), Int32Array.of(0, 8)].map((items) => ({
  prompt: Prompt.ofItems(items),
  leaves: Int32Array.from(new Set(index.leafOf))
}))

/** The gradients of both losses over a store, by parameter. */
export const gradients = (store: ParameterStore.ParameterStore) =>
  Effect.gen(function*() {
    const policy = yield* PolicyModel
    const [batch] = yield* policy.plan(examples, 1, 0)
    const supervised = yield* policy.supervised
    const group = yield* policy.groupGradient(GroupRelative.make({ beta: 0.3 }))
    const scored = groups.map((one, g) => ({
      ...one,
      advantages: Float32Array.from(one.leaves, (leaf) => Math.sin(leaf + g)),
      behaviour: Array.from(one.leaves, () => new Float32Array(8).fill(-1))
    }))
    const scores = yield* policy.score(groups, yield* store.weights)
    const read = () =>
      new Map(
        store.buffer.slots.flatMap(({ name, trainable }) =>
          trainable ? [[name, store.buffer.view("gradients", name).slice()] as const] : []
        )
      )
    const step = { seed: 1, step: 0 }
    const first = yield* supervised.accumulate(store, [{ batch: batch! }], step)
    const ofSupervised = read()
    const references = scored.map((one, g) => ({
      ...one,
      reference: { ...scores[g]!, logProbs: scores[g]!.logProbs.map((value, i) => value - 0.1 * Math.cos(i)) }
    }))
    const second = yield* group.accumulate(store, [{ batch: references }], step)
    return { losses: [first.loss, second.loss], scores, supervised: ofSupervised, group: read() }
  }).pipe(Effect.scoped)

/** Runs an effect with a flat policy and its store. */
export const withPolicy = <A, E, R>(settings: FlatPolicy.FlatPolicyConfig, effect: Effect.Effect<A, E, R>) =>
  Effect.provide(effect, layerOn(settings).pipe(Layer.orDie), { local: true })

/** Trains adapters alone for some steps, down to a share of the first loss. */
export const learnsWithAdapters = ([name, runtime]: Backend, steps = 30, share = 0.5): void =>
  it.effect(`learns with slots for adapters alone, on a base that stays what it is (${name})`, () =>
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const store = yield* PolicyParameters
      // The logits of a base as it begins are close to 0, and its output matrix is frozen.
      enliven(store, false)
      yield* store.push
      const before = (yield* store.save).weights
      const [batch] = yield* policy.plan(examples, 1, 0)
      const gradient = yield* policy.supervised
      const settings = Schema.decodeSync(AdamW.AdamWConfig)({ averaging: 0.9 })
      const optimizer = Adam.adamW(settings)
      const losses: Array<number> = []
      for (let step = 0; step < steps; step++) {
        losses.push((yield* gradient.accumulate(store, [{ batch: batch! }], { seed: 1, step })).loss)
        yield* store.apply(optimizer, 0.02)
      }
      assert.isBelow(losses.at(-1)!, losses[0]! * share)
      const { average, slots, weights } = yield* store.save
      const adapters = [...Lora.adaptersIn(weights).keys()]
      assert.strictEqual(adapters.length, 2 * 7 * 2)
      for (const [key, { data }] of before) {
        assert.strictEqual(distance(weights.get(key)!.data, data) === 0, !adapters.includes(key), key)
      }
      assert.sameMembers([...average.keys()], adapters)
      assert.sameMembers([...slots.keys()], adapters.flatMap((key) => [`first.${key}`, `second.${key}`]))
      assert.strictEqual(store.buffer.count, adapters.reduce((sum, key) => sum + weights.get(key)!.data.length, 0))
    }).pipe(Effect.scoped, Effect.provide(layerOn(adaptedPolicy).pipe(Layer.orDie, Layer.provideMerge(runtime)))))
