import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Worker } from "node:worker_threads"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as QuantizerNames from "../../programs/QuantizerNames.ts"
import * as Quantizers from "../../programs/Quantizers.ts"
import * as TokenizerWorker from "../../programs/TokenizerWorker.ts"
import { Progress } from "../../src/run/Progress.ts"
import { BadEmbedding, SidError, TooFewCodes } from "../../src/sid/SidError.ts"
import { NonFinite, TensorError } from "../../src/tensor/TensorError.ts"
import { config, interrupted, itemsOf, stepping, task } from "./TokenizerThread.ts"

describe("TokenizerWorker", () => {
  it.live(
    "answers what training in this thread would, and leaves the items to the sender",
    () =>
      Effect.gen(function*() {
        for (const quantizer of ["rq-kmeans", "opq", "random"] as const) {
          const given = task({ quantizer, shape: { levels: 2, codes: 16 } })
          const { seconds, ...there } = yield* TokenizerWorker.run(given)
          const { seconds: _, ...here } = yield* TokenizerWorker.work(given).pipe(
            Effect.provide(
              Quantizers.layer(given.tokenizer, given.seed).pipe(
                Layer.provide(
                  Layer.mergeAll(OnnxRuntime.layerCpu({ threads: 1 }), Progress.layerSilent, NodeServices.layer)
                )
              )
            )
          )
          assert.deepStrictEqual(there, here)
          assert.isAbove(seconds, 0)
          assert.strictEqual(given.items.embeddings.data.length, 60 * 8)
        }
      }),
    60_000
  )

  it("settings reach the thread as they were given", () => {
    for (const quantizer of QuantizerNames.names) {
      const sent = config({
        quantizer,
        shape: { levels: 4 },
        collision: "keep",
        rqVae: { epochs: 7 },
        given: { path: "index.json" }
      })
      const codec = Schema.toCodecJson(Quantizers.TokenizerConfig)
      assert.deepStrictEqual(Schema.decodeSync(codec)(Schema.encodeSync(codec)(sent)), sent)
    }
  })

  it.live("errors cross the thread as they are, under the name of the tokenizer", () =>
    Effect.gen(function*() {
      const crowded = yield* Effect.flip(
        TokenizerWorker.run(task({ quantizer: "fsq", shape: { levels: 1, codes: 8 } }))
      )
      assert.instanceOf(crowded.reason, SidError)
      assert.deepStrictEqual(crowded.reason.reason, new TooFewCodes({ items: 60, codebookSizes: [8] }))
      assert.match(crowded.message, /^the tokenizer fsq failed: 60 items cannot have a SID each/)

      const items = itemsOf(60, 8)
      items.embeddings.data[5 * 8 + 2] = NaN
      const broken = yield* Effect.flip(TokenizerWorker.run(task({}, items)))
      assert.instanceOf(broken.reason, SidError)
      assert.deepStrictEqual(broken.reason.reason, new BadEmbedding({ row: 5, component: 2, value: "NaN" }))
      assert.match(broken.message, /^the tokenizer rq-kmeans failed: /)

      const diverged = yield* Effect.flip(
        TokenizerWorker.run(task({ quantizer: "rq-vae", rqVae: { epochs: 3, learningRate: 1e30 } }))
      )
      assert.instanceOf(diverged.reason, TensorError)
      assert.instanceOf(diverged.reason.reason, NonFinite)
    }), 240_000)

  // Threads that train for seconds have their turn in the long suite.
  interrupted("between its steps", stepping, "1 second")

  it.live("a thread that ends before it answers is an error that says so", () =>
    Effect.gen(function*() {
      const stillborn = yield* Effect.flip(
        TokenizerWorker.run(task({}), () => new Worker("process.exit(3)", { eval: true }))
      )
      assert.strictEqual(stillborn.reason._tag, "ThreadEnded")
      assert.match(stillborn.message, /rq-kmeans failed: its thread ended before it was done \(.*3\)/)
    }), 240_000)
})
