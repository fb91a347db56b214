/**
 * The flat policy trained on a device beside the processor.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BeamSearch from "../../src/decode/BeamSearch.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { Sids } from "../../src/sid/Sids.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { backends } from "../tensor/Backends.ts"
import { type Backend } from "../tensor/Backends.ts"
import { config, index, layerOn } from "./Fixture.ts"

const sequences = Array.from(
  { length: 24 },
  (_, user) => Int32Array.from({ length: 3 + (user % 3) }, (_, i) => (user * 5 + i * 3) % index.sids.length)
)

/** Losses of supervised steps with dropout, and the best leaves of three users afterwards. */
const train = (layer: Layer.Layer<TensorRuntime>, steps: number) =>
  Effect.gen(function*() {
    const policy = yield* PolicyModel
    const store = yield* PolicyParameters
    const { space } = yield* Sids
    const gradient = yield* policy.supervised
    const examples = sequences.map((items, user) => Prompt.everyPosition({ user, items }))
    const optimizer = Adam.adamW(
      new AdamW.AdamWConfig({
        beta1: 0.9,
        beta2: 0.98,
        epsilon: 1e-8,
        weightDecay: 0.1,
        maxGradientNorm: 1,
        averaging: 0.9
      })
    )
    const losses: Array<number> = []
    for (let epoch = 0; losses.length < steps; epoch++) {
      for (const batch of (yield* policy.plan(examples, 1, epoch)).slice(0, steps - losses.length)) {
        losses.push((yield* gradient.accumulate(store, [{ batch }], { seed: 1, step: losses.length })).loss)
        yield* store.apply(optimizer, 1e-2)
      }
    }
    const found = yield* BeamSearch.search(
      sequences.slice(0, 3).map((items) => ({ prompt: Prompt.ofItems(items), space })),
      yield* store.evaluation,
      { beams: 20 }
    )
    return { losses, leaves: found.map((ranked) => [...ranked.leaves]) }
  }).pipe(
    Effect.scoped,
    Effect.provide(layerOn({ ...config, dropout: 0.1 }).pipe(Layer.provide(layer)))
  )

/** So many steps on a device have the losses and the beams of the processor. */
export const agrees = ([name, layer]: Backend, steps = 20): void => {
  describe("the flat policy on every device", () => {
    it.effect(
      `has the losses and the beams of the processor, and leaves nothing alive: ${name}`,
      () =>
        Effect.gen(function*() {
          const expected = yield* train(backends[0]![1], steps)
          const { found, usage } = yield* Effect.gen(function*() {
            const runtime = yield* TensorRuntime
            const found = yield* train(Layer.succeed(TensorRuntime, runtime), steps)
            return { found, usage: yield* runtime.usage }
          }).pipe(Effect.provide(layer))
          assert.deepStrictEqual(usage, { handles: 0, bytes: 0, executables: 0 })
          assert.strictEqual(found.losses.length, steps)
          assert.isBelow(found.losses.at(-1)!, found.losses[0]!)
          for (const [step, loss] of found.losses.entries()) {
            assert.approximately(loss / expected.losses[step]!, 1, 1e-4, `step ${step}`)
          }
          assert.deepStrictEqual(found.leaves, expected.leaves)
        }),
      120_000
    )
  })
}
