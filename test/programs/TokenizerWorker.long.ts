import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TokenizerWorker from "../../programs/TokenizerWorker.ts"
import { deaf, interrupted, stepping, thread } from "./TokenizerThread.ts"

describe("TokenizerWorker", () => {
  interrupted("between its steps", stepping, "3 seconds")
  interrupted("in the middle of one", deaf, "3 seconds")

  it.live("a thread that is ended from outside is an error that says so", () =>
    Effect.gen(function*() {
      const worker = thread()
      const fiber = yield* Effect.forkChild(TokenizerWorker.run(deaf, () => worker))
      yield* Effect.sleep("3 seconds")
      yield* Effect.promise(() => worker.terminate())
      const killed = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(killed.reason._tag, "ThreadEnded")
      assert.include(killed.message, "the tokenizer fsq failed")
    }), 240_000)
})
