/**
 * Tokenizers in threads that a test can end or see end.
 */
import { assert, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { Worker } from "node:worker_threads"
import * as Quantizers from "../../programs/Quantizers.ts"
import * as TokenizerWorker from "../../programs/TokenizerWorker.ts"
import * as Quantizer from "../../src/sid/Quantizer.ts"
import * as Random from "../../src/statistics/Random.ts"

export const config = (encoded: typeof Quantizers.TokenizerConfig.Encoded) =>
  Schema.decodeSync(Quantizers.TokenizerConfig)(encoded)

export const itemsOf = (rows: number, width: number) => {
  const next = Random.normal(5)
  return Quantizer.itemsOf({ rows, width, data: Float32Array.from({ length: rows * width }, next) })
}

export const task = (
  tokenizer: typeof Quantizers.TokenizerConfig.Encoded,
  items: Quantizer.Items = itemsOf(60, 8)
): TokenizerWorker.Task => ({ tokenizer: config(tokenizer), seed: 3, items })

/** The usual thread, so that a test can end it or see it end. */
export const thread = () =>
  new Worker(new URL("../../programs/TokenizerWorker.ts", import.meta.url), { workerData: "sidereal-tokenizer" })

const ended = (worker: Worker) => new Promise<void>((resolve) => worker.once("exit", () => resolve()))

/** Training that takes minutes, in many short steps. */
export const stepping = task({ quantizer: "rq-vae", rqVae: { epochs: 100_000 } }, itemsOf(2000, 64))

/** Training that does nothing else for many seconds: a decomposition of 2,000 components. */
export const deaf = task({ quantizer: "fsq", shape: { levels: 2, codes: 256 } }, itemsOf(2000, 2000))

/** Training that is interrupted after a time, beside another. */
export const interrupted = (name: string, long: TokenizerWorker.Task, after: Duration.Input): void =>
  it.live(`an interruption ends the thread ${name}, and no other`, () =>
    Effect.gen(function*() {
      const worker = thread()
      const over = ended(worker)
      const fiber = yield* Effect.forkChild(TokenizerWorker.run(long, () => worker))
      const other = yield* Effect.forkChild(TokenizerWorker.run(task({ quantizer: "rq-kmeans" })))
      yield* Effect.sleep(after)
      const since = performance.now()
      yield* Fiber.interrupt(fiber)
      yield* Effect.promise(() => over)
      assert.isBelow(performance.now() - since, 8000)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.strictEqual((yield* Fiber.join(other)).codes.length, 60)
    }), 240_000)
