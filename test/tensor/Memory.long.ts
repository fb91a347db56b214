import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as FlatPolicy from "../../src/policy/FlatPolicy.ts"
import { PolicyModel } from "../../src/policy/PolicyModel.ts"
import * as AdamW from "../../src/tensor/AdamW.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import * as Testing from "../../src/testing/Testing.ts"

describe("memory over a long training", () => {
  it.live(
    "stays flat over a thousand steps of changing sizes, and nothing is alive but the program",
    () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const runtime = yield* TensorRuntime
        const sequences = Array.from(
          { length: 400 },
          (_, u) => Int32Array.from({ length: 3 + (u % 12) }, (_, i) => (u * 7 + i * 13) % 200)
        )
        const optimizer = Schema.decodeSync(AdamW.AdamWConfig)({})
        let step = 0
        let early = 0
        for (let epoch = 0; step < 1000; epoch++) {
          for (const batch of policy.plan(sequences, 1, epoch)) {
            const loss = yield* policy.supervise(batch, 1, step)
            assert.isTrue(Number.isFinite(loss))
            AdamW.apply(policy.parameters, optimizer, ++step, 1e-3)
            if (step === 300) early = process.memoryUsage().rss
          }
        }
        assert.isBelow(process.memoryUsage().rss, early * 1.03)
        const { bytes, executables, handles } = yield* runtime.usage
        assert.deepStrictEqual([handles, bytes, executables], [0, 0, 1])
      }).pipe(Effect.provide(
        FlatPolicy.layer(
          Schema.decodeSync(FlatPolicy.FlatPolicyConfig)({ width: 64, layers: 2, feedForward: 128, batchTokens: 1024 }),
          Testing.index(200),
          1
        ).pipe(Layer.provideMerge(OnnxRuntime.layerCpu({ threads: 2 })))
      )),
    300_000
  )
})
