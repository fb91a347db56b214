/**
 * Tokenizers on threads of their own, so that several are trained in parallel.
 *
 * A thread trains one tokenizer and ends, which releases its memory, including that of onnxruntime. Interruption ends a
 * thread even during a computation.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as NodeWorker from "@effect/platform-node/NodeWorker"
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Schema from "effect/Schema"
import * as Transferable from "effect/workers/Transferable"
import { isMainThread, Worker, workerData } from "node:worker_threads"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import { Progress } from "../src/run/Progress.ts"
import * as Codes from "../src/sid/Codes.ts"
import * as CollisionPolicy from "../src/sid/CollisionPolicy.ts"
import * as Quantizer from "../src/sid/Quantizer.ts"
import { SidError } from "../src/sid/SidError.ts"
import { TensorError } from "../src/tensor/TensorError.ts"
import * as Quantizers from "./Quantizers.ts"

/** Trained tokenizer with its codes. */
export interface Answer {
  readonly id: string
  /** Seconds of training, encoding included. */
  readonly seconds: number
  readonly codes: ReadonlyArray<Int32Array>
  readonly diagnosis: Quantizer.Diagnosis
  readonly collisionPolicy: string
  readonly resolved: CollisionPolicy.Resolved
}

/** Payload of plain data and typed arrays, which are copied between threads; the sender keeps its own. */
const copied = <A>() => Transferable.schema(Schema.Any as unknown as Schema.declare<A>, () => [])

const payload = { tokenizer: Quantizers.TokenizerConfig, seed: Schema.Int, items: copied<Quantizer.Items>() }

/** Protocol between the threads. */
const Tokenizers = RpcGroup.make(
  Rpc.make("train", { payload, success: copied<Answer>(), error: Schema.Union([SidError, TensorError]) })
)

/** Task of a thread: the tokenizer's settings, the seed and the items. */
export type Task = Schema.Struct<typeof payload>["Type"]

/** A thread that ended before it answered. */
export class ThreadEnded extends Schema.TaggedError<ThreadEnded>()("ThreadEnded", { detail: Schema.String }) {
  override get message() {
    return `its thread ended before it was done (${this.detail}); if memory is short, compare fewer tokenizers at once`
  }
}

/** A tokenizer that failed on its thread, with the reason inside. */
export class TokenizerFailed extends Schema.TaggedError<TokenizerFailed>()("TokenizerFailed", {
  tokenizer: Schema.String,
  reason: Schema.Union([SidError, TensorError, ThreadEnded])
}) {
  override get message() {
    return `the tokenizer ${this.tokenizer} failed: ${this.reason.message}`
  }
}

/** Trains a tokenizer and resolves its collisions. */
export const work = Effect.fn("TokenizerWorker.work")(function*({ items, tokenizer }: Task) {
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
})

const marker = "sidereal-tokenizer"

const thread = () => new Worker(new URL(import.meta.url), { workerData: marker })

/** Runs a task on a new thread; `spawn` starts the thread, by default the usual one. */
export const run = Effect.fn("TokenizerWorker.run")(function*(task: Task, spawn: () => Worker = thread) {
  const training = Effect.gen(function*() {
    // One that does not end when it is asked is killed after 5 s: at once would abort the process inside onnxruntime.
    const protocol = yield* RpcClient.makeProtocolWorker({ size: 1 }).pipe(Effect.provide(NodeWorker.layer(spawn)))
    const client = yield* RpcClient.make(Tokenizers).pipe(Effect.provideService(RpcClient.Protocol, protocol))
    return yield* client.train(task)
  })
  return yield* Effect.scoped(training).pipe(
    Effect.mapError((error) =>
      new TokenizerFailed({
        tokenizer: task.tokenizer.quantizer ?? "rq-kmeans",
        reason: error._tag === "SidError" || error._tag === "TensorError"
          ? error
          : new ThreadEnded({ detail: error.message })
      })
    )
  )
})

const handlers = Tokenizers.toLayer({
  train: (task) =>
    work(task).pipe(
      Effect.provide(
        Quantizers.layer(task.tokenizer, task.seed).pipe(
          Layer.provide(Layer.mergeAll(OnnxRuntime.layerCpu({ threads: 1 }), Progress.layerSilent, NodeServices.layer))
        )
      )
    )
})

if (!isMainThread && workerData === marker) {
  await RpcServer.layer(Tokenizers).pipe(
    Layer.provide(handlers),
    Layer.provide(RpcServer.layerProtocolWorkerRunner),
    Layer.provide(NodeWorkerRunner.layer),
    Layer.launch,
    Effect.runPromiseExit
  )
}
