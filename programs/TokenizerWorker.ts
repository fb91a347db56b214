/**
 * One tokenizer trained on a thread of its own, so that several go side by side.
 *
 * A worker trains once and ends; its memory, onnxruntime's included, goes with it. Interruption ends it at once and
 * loses its tokenizer alone.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import { Progress } from "../src/run/Progress.ts"
import * as Codes from "../src/sid/Codes.ts"
import * as CollisionPolicy from "../src/sid/CollisionPolicy.ts"
import * as Quantizer from "../src/sid/Quantizer.ts"
import * as Quantizers from "./Quantizers.ts"

/** What a worker is asked. */
export interface Task {
  readonly tokenizer: typeof Quantizers.TokenizerConfig.Encoded
  readonly seed: number
  readonly items: Quantizer.Items
}

/** What it answers. */
export interface Answer {
  readonly id: string
  /** Seconds of training, encoding included. */
  readonly seconds: number
  readonly codes: ReadonlyArray<Int32Array>
  readonly diagnosis: Quantizer.Diagnosis
  readonly collisionPolicy: string
  readonly resolved: CollisionPolicy.Resolved
}

/** A tokenizer that failed on its thread. */
export class TokenizerFailed extends Schema.TaggedError<TokenizerFailed>()("TokenizerFailed", {
  tokenizer: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the tokenizer ${this.tokenizer} failed: ${this.detail}`
  }
}

/** Trains a tokenizer and resolves its collisions. */
export const work = Effect.fn("TokenizerWorker.work")(
  function*({ items }: Task, tokenizer: Quantizers.TokenizerConfig) {
    const quantizer = yield* Quantizer.Quantizer
    const started = performance.now()
    const trained = yield* quantizer.train(items)
    const seconds = (performance.now() - started) / 1000
    const policy = Quantizers.policyOf(tokenizer)
    return {
      id: quantizer.id,
      seconds,
      codes: Codes.rowsOf(trained.codes).map((codes) => codes.slice()),
      diagnosis: yield* quantizer.diagnose(items, trained),
      collisionPolicy: policy.name,
      resolved: yield* CollisionPolicy.resolve(policy, quantizer, items, trained)
    } satisfies Answer
  }
)

const marker = "sidereal-tokenizer"

/** Runs a task on a new thread. */
export const run = (task: Task): Effect.Effect<Answer, TokenizerFailed> => {
  const name = task.tokenizer.quantizer ?? "rq-kmeans"
  return Effect.callback<Answer, TokenizerFailed>((resume) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { [marker]: task } })
    const failed = (detail: string) => resume(Effect.fail(new TokenizerFailed({ tokenizer: name, detail })))
    worker.once(
      "message",
      (message: { readonly answer?: Answer; readonly error?: string }) =>
        message.answer === undefined ? failed(message.error ?? "no answer") : resume(Effect.succeed(message.answer))
    )
    worker.once("error", (error) => failed(error instanceof Error ? error.message : String(error)))
    worker.once("exit", (code) => failed(`its thread ended with status ${code}`))
    return Effect.promise(() => worker.terminate())
  })
}

const asked = isMainThread ? undefined : (workerData as Readonly<Record<string, Task>> | null)?.[marker]

if (asked !== undefined) {
  const tokenizer = Schema.decodeSync(Quantizers.TokenizerConfig)(asked.tokenizer)
  const answered = await Effect.runPromise(
    work(asked, tokenizer).pipe(
      Effect.provide(
        Quantizers.layer(tokenizer, asked.seed).pipe(
          Layer.provide(Layer.mergeAll(OnnxRuntime.layerCpu({ threads: 1 }), Progress.layerSilent, NodeServices.layer))
        )
      ),
      Effect.match({
        onFailure: (error) => ({ error: error.message }),
        onSuccess: (answer) => ({ answer })
      })
    )
  )
  parentPort!.postMessage(answered)
}
