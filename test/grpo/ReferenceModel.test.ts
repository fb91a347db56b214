import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ReferenceModel } from "../../src/grpo/ReferenceModel.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { distance, golden, json, list, tensors } from "../Golden.ts"

const folder = [golden, "lm", "rewards"] as const
const cases = list(...folder).filter((name) => /sync.*\.json$/.test(name)).map((name) => name.replace(/\.json$/, ""))

/** A store of named tensors, under a policy that is never asked. */
const parameters = (
  values: ReadonlyMap<string, { readonly shape: ReadonlyArray<number>; readonly data: Float32Array }>
) =>
  Layer.effect(
    PolicyParameters,
    ParameterStore.make(Object.fromEntries(
      Array.from(values, ([name, { data, shape }]) => [name, {
        shape: [...shape],
        initialize: (into: Float32Array) => into.set(data)
      }])
    ))
  ).pipe(
    Layer.provideMerge(Layer.succeed(PolicyModel, {} as PolicyModel["Service"])),
    Layer.provide(Testing.layerNoTensors)
  )

const under = (all: ReturnType<typeof tensors>, prefix: string) =>
  new Map(
    [...all].flatMap(([name, { data, shape }]) =>
      name.startsWith(`${prefix}.`)
        ? [[name.slice(prefix.length + 1), { shape, data: data as Float32Array }] as const]
        : []
    )
  )

const setWeights = (values: ReturnType<typeof under>) =>
  Effect.flatMap(PolicyParameters, (store) =>
    Effect.sync(() => {
      for (const [name, { data }] of values) store.buffer.view("weights", name).set(data)
    }).pipe(Effect.andThen(store.push)))

const weightsOf = (reference: ReferenceModel["Service"]) =>
  Effect.map(reference.save, (state) => Option.getOrThrow(state).weights)

describe("ReferenceModel", () => {
  if (cases.length === 0) it.skipIf(true)("no case is here", () => {})

  for (const name of cases) {
    it.effect(`mixes as in ${name}`, () =>
      Effect.gen(function*() {
        const all = tensors(...folder, `${name}.safetensors`)
        const { alpha } = json(...folder, `${name}.json`) as { readonly alpha: number }
        yield* Effect.gen(function*() {
          const reference = yield* ReferenceModel
          yield* setWeights(under(all, "policy"))
          for (let step = 1; all.has(`reference.after${step}.w`); step++) {
            assert.isTrue(yield* reference.sync(step))
            const weights = yield* weightsOf(reference)
            for (const [tensor, { data }] of under(all, `reference.after${step}`)) {
              assert.isAtMost(distance(data, weights.get(tensor)!.data), 1e-6, `${tensor} after ${step}`)
            }
          }
        }).pipe(
          Effect.provide(
            ReferenceModel.layerMixup({ every: 1, alpha }).pipe(
              Layer.provideMerge(parameters(under(all, "reference.before")))
            )
          )
        )
      }))
  }

  const start = new Map([["w", { shape: [2], data: Float32Array.of(1, -2) }]])
  const policy = new Map([["w", { shape: [2], data: Float32Array.of(3, 6) }]])

  it.effect("moves only when it is due, and goes on from what was saved", () =>
    Effect.gen(function*() {
      const reference = yield* ReferenceModel
      yield* setWeights(policy)
      assert.isFalse(yield* reference.sync(1))
      assert.deepStrictEqual([...(yield* weightsOf(reference)).get("w")!.data], [1, -2])
      const before = Option.getOrThrow(yield* reference.save)
      assert.isTrue(yield* reference.sync(2))
      assert.deepStrictEqual([...(yield* weightsOf(reference)).get("w")!.data], [1.5, 0])
      yield* reference.restore(before)
      assert.deepStrictEqual([...(yield* weightsOf(reference)).get("w")!.data], [1, -2])
    }).pipe(
      Effect.provide(
        ReferenceModel.layerMixup({ every: 2, alpha: 0.25 }).pipe(Layer.provideMerge(parameters(start)))
      )
    ))

  it.effect("follows the policy by a moving average", () =>
    Effect.gen(function*() {
      const reference = yield* ReferenceModel
      yield* setWeights(policy)
      yield* reference.sync(1)
      yield* reference.sync(2)
      assert.deepStrictEqual([...(yield* weightsOf(reference)).get("w")!.data], [2.5, 4])
    }).pipe(Effect.provide(ReferenceModel.layerEma(0.5).pipe(Layer.provideMerge(parameters(start))))))

  it.effect("is frozen where it is not to follow, and then needs no place in a checkpoint", () =>
    Effect.gen(function*() {
      const reference = yield* ReferenceModel
      yield* setWeights(policy)
      assert.isFalse(yield* reference.sync(1))
      assert.isTrue(Option.isNone(yield* reference.save))
    }).pipe(
      Effect.provide(ReferenceModel.layer({ every: 0, alpha: 0.6 }).pipe(Layer.provideMerge(parameters(start))))
    ))
})
