import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as HostMemory from "../../src/tensor/HostMemory.ts"
import { float32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"

/** 25 matrices of 20 million. */
const [matrices, rows, columns] = [25, 5_000, 4_000]
const names = Array.from({ length: matrices }, (_, i) => `w${i}`)
const parameters = matrices * rows * columns

const config = Schema.decodeSync(AdamW.AdamWConfig)({ averaging: 0, weightDecay: 0.1, maxGradientNorm: 1 })

describe("a model of 500 million parameters", () => {
  it.effect("is made and stepped once, or refused before anything is made", () =>
    Effect.gen(function*() {
      const available = HostMemory.measure()
      const optimizer = Adam.adamW(config)
      const made = ParameterStore.make(
        Object.fromEntries(names.map((name, i) => [name, {
          shape: [rows, columns],
          initialize: (values) => {
            for (let at = 0; at < values.length; at++) values[at] = (at % 17 - 8) / (i + 1)
          }
        }])),
        { optimizer }
      )
      // The regions, and room for the process itself and for others meanwhile.
      if (available < 4 * 4 * parameters + 3 * 2 ** 30) {
        const { reason } = yield* Effect.flip(made).pipe(
          Effect.provideService(HostMemory.Available, () => Math.min(available, 4 * 4 * parameters - 1))
        )
        assert.strictEqual(reason._tag, "OutOfMemory")
        assert.include(reason.message, `${4 * 4 * parameters} bytes`)
        return
      }
      const store = yield* made
      const runtime = yield* TensorRuntime
      const gradients = yield* runtime.compile(make({
        name: "halves",
        inputs: Object.fromEntries(names.map((name) => [name, float32(rows, columns)])),
        body: (weights) => Object.fromEntries(names.map((name) => [name, weights[name]!.mul(0.5)]))
      }))
      const at = [0, 7, (rows * columns) >> 1, rows * columns - 1]
      const before = names.map((name) => at.map((i) => store.buffer.view("weights", name)[i]!))
      yield* Effect.scoped(store.differentiate(gradients, [{ feeds: {} }]))
      const { gradientNorm } = yield* store.apply(optimizer, 0.01)
      let squares = 0
      for (let i = 0; i < rows * columns; i++) squares += (i % 17 - 8) ** 2
      const norm = 0.5 * Math.sqrt(squares * names.reduce((sum, _, i) => sum + 1 / (i + 1) ** 2, 0))
      assert.closeTo(gradientNorm / norm, 1, 1e-6)
      for (const [m, name] of names.entries()) {
        const after = store.buffer.view("weights", name)
        for (const [k, i] of at.entries()) {
          const p = before[m]![k]!
          const g = 0.5 * p / (norm + 1e-6)
          const expected = p * (1 - 0.01 * 0.1) - 0.01 * g / (Math.abs(g) + 1e-8)
          assert.closeTo(after[i]!, expected, 1e-5 * Math.max(1, Math.abs(p)), `${name}[${i}]`)
        }
      }
      assert.strictEqual(yield* store.version, 1)
    }).pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu({ threads: 2 }))), 300_000)
})
