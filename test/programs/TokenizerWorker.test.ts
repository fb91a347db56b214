import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Worker } from "node:worker_threads"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as QuantizerNames from "../../programs/QuantizerNames.ts"
import * as Quantizers from "../../programs/Quantizers.ts"
import * as TokenizerWorker from "../../programs/TokenizerWorker.ts"
import { Progress } from "../../src/run/Progress.ts"
import * as Quantizer from "../../src/sid/Quantizer.ts"
import { BadEmbedding, SidError, TooFewCodes } from "../../src/sid/SidError.ts"
import * as Random from "../../src/statistics/Random.ts"
import { NonFinite, TensorError } from "../../src/tensor/TensorError.ts"

const config = (encoded: typeof Quantizers.TokenizerConfig.Encoded) =>
  Schema.decodeSync(Quantizers.TokenizerConfig)(encoded)

const itemsOf = (rows: number, width: number) => {
  const next = Random.normal(5)
  return Quantizer.itemsOf({ rows, width, data: Float32Array.from({ length: rows * width }, next) })
}

const task = (
  tokenizer: typeof Quantizers.TokenizerConfig.Encoded,
  items: Quantizer.Items = itemsOf(60, 8)
): TokenizerWorker.Task => ({ tokenizer: config(tokenizer), seed: 3, items })

/** The usual thread, so that a test can end it or see it end. */
const thread = () =>
  new Worker(new URL("../../programs/TokenizerWorker.ts", import.meta.url), { workerData: "sidereal-tokenizer" })

const ended = (worker: Worker) => new Promise<void>((resolve) => worker.once("exit", () => resolve()))

/** Training that takes minutes, in many short steps. */
const stepping = task({ quantizer: "rq-vae", rqVae: { epochs: 100_000 } }, itemsOf(2000, 64))

/** Training that does nothing else for many seconds: a decomposition of 2,000 components. */
const deaf = task({ quantizer: "fsq", shape: { levels: 2, codes: 256 } }, itemsOf(2000, 2000))

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

  for (const [name, long] of [["between its steps", stepping], ["in the middle of one", deaf]] as const) {
    it.live(`an interruption ends the thread ${name}, and no other`, () =>
      Effect.gen(function*() {
        const worker = thread()
        const over = ended(worker)
        const fiber = yield* Effect.forkChild(TokenizerWorker.run(long, () => worker))
        const other = yield* Effect.forkChild(TokenizerWorker.run(task({ quantizer: "rq-kmeans" })))
        yield* Effect.sleep("3 seconds")
        const since = performance.now()
        yield* Fiber.interrupt(fiber)
        yield* Effect.promise(() => over)
        assert.isBelow(performance.now() - since, 8000)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
        assert.strictEqual((yield* Fiber.join(other)).codes.length, 60)
      }), 240_000)
  }

  it.live("a thread that ends before it answers is an error that says so", () =>
    Effect.gen(function*() {
      const stillborn = yield* Effect.flip(
        TokenizerWorker.run(task({}), () => new Worker("process.exit(3)", { eval: true }))
      )
      assert.strictEqual(stillborn.reason._tag, "ThreadEnded")
      assert.match(stillborn.message, /rq-kmeans failed: its thread ended before it was done \(.*3\)/)
      const worker = thread()
      const fiber = yield* Effect.forkChild(TokenizerWorker.run(deaf, () => worker))
      yield* Effect.sleep("3 seconds")
      yield* Effect.promise(() => worker.terminate())
      const killed = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(killed.reason._tag, "ThreadEnded")
      assert.include(killed.message, "the tokenizer fsq failed")
    }), 240_000)
})
