/**
 * The compiling tensor runtime: a program becomes one ONNX graph that onnxruntime-node runs.
 *
 * Weights are inputs of the graph, never constants in it, so one session serves every version of a model. Sessions are
 * long-lived: run-time sizes are symbolic in the graph, and one program needs one session whatever it is fed.
 * Results are equal bit for bit from run to run for the same number of threads.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { availableParallelism } from "node:os"
import * as ort from "onnxruntime-node"
import { BackendFailure, ShapeMismatch, TensorError, UseAfterRelease } from "../../src/tensor/TensorError.ts"
import {
  bindSymbols,
  formatShape,
  type HostTensor,
  symbols,
  type TensorProgram
} from "../../src/tensor/TensorProgram.ts"
import { type Feed, isHandle, TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { Ledger } from "../../src/tensor/TensorUsage.ts"
import { toTensorError } from "../../src/tensor/TraceFailure.ts"
import "./FusedLowerings.ts"
import { valueOf } from "./Lowerings.ts"
import * as OnnxProto from "./OnnxProto.ts"
import { inputName, outputName, trace } from "./TracingBackend.ts"

/** Settings of the sessions. */
export interface OnnxOptions {
  /** Threads inside one operator. @default the processors of the machine, at most 8 */
  readonly threads?: number | undefined
  /** Writes onnxruntime's profile of each session to this path prefix. */
  readonly profile?: string | undefined
}

const backend = "onnx-cpu"

interface DeviceHandle {
  readonly tensor: ort.Tensor
}

const tensors = new WeakMap<object, DeviceHandle>()

const toOrt = (feed: HostTensor): ort.Tensor =>
  feed.dtype === "float32"
    ? new ort.Tensor("float32", feed.data as Float32Array, feed.shape)
    : feed.dtype === "int32"
    ? new ort.Tensor("int32", feed.data as Int32Array, feed.shape)
    : new ort.Tensor("bool", feed.data as Uint8Array, feed.shape)

const fromOrt = (tensor: ort.Tensor): HostTensor => ({
  dtype: tensor.type as HostTensor["dtype"],
  shape: tensor.dims,
  data: tensor.data as HostTensor["data"]
})

const bytesOf = (tensor: ort.Tensor): number => (tensor.data as Float32Array).byteLength

const make = ({ profile, threads }: OnnxOptions) =>
  Effect.sync(() => {
    const ledger = new Ledger()
    const options: ort.InferenceSession.SessionOptions = {
      executionProviders: ["cpu"],
      intraOpNumThreads: threads ?? Math.min(availableParallelism(), 8),
      interOpNumThreads: 1,
      graphOptimizationLevel: "basic",
      enableCpuMemArena: true,
      // Threads of one session must not spin while another session, or the host, has work to do.
      extra: { session: { force_spinning_stop: "1" } },
      logSeverityLevel: 3,
      ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile })
    }

    const compile = Effect.fn("TensorRuntime.compile")(
      function*<I extends string, O extends string>(program: TensorProgram<I, O>) {
        const started = performance.now()
        const compiled = yield* Effect.try({
          try: () => trace(program, valueOf),
          catch: (cause) => toTensorError(backend, program.name, cause)
        })
        const session = yield* Effect.acquireRelease(
          Effect.tryPromise({
            try: () => ort.InferenceSession.create(OnnxProto.encode(compiled.graph), options),
            catch: (cause) => new TensorError({ reason: new BackendFailure({ backend, program: program.name, cause }) })
          }),
          (session) =>
            Effect.promise(async () => {
              if (profile !== undefined) session.endProfiling()
              await session.release()
            })
        )
        const isOpen = yield* ledger.executable()
        const fail = (site: string, expected: string, actual: string) =>
          Effect.fail(
            new TensorError({ reason: new ShapeMismatch({ program: program.name, site, expected, actual }) })
          )

        const run = Effect.fnUntraced(function*(
          feeds: Readonly<Record<I, Feed>>,
          into?: Readonly<Partial<Record<O, Float32Array>>>
        ) {
          if (!isOpen()) return yield* new TensorError({ reason: new UseAfterRelease({ handle: program.name }) })
          const fed: Record<string, ort.Tensor> = {}
          const shapes: Record<string, ReadonlyArray<number>> = {}
          for (const name of Object.keys(program.inputs) as Array<I>) {
            const feed = feeds[name] as Feed | undefined
            if (feed === undefined) {
              return yield* fail(`input "${name}"`, formatShape(program.inputs[name].shape), "nothing")
            }
            if (isHandle(feed)) {
              const device = tensors.get(feed)
              fed[inputName(name)] = device?.tensor ?? toOrt(yield* feed.read)
              if ((feed as { released?: () => boolean }).released?.() === true) {
                return yield* new TensorError({ reason: new UseAfterRelease({ handle: feed.name }) })
              }
            } else fed[inputName(name)] = toOrt(feed)
            shapes[name] = fed[inputName(name)]!.dims
          }
          const bound = bindSymbols(program.inputs, shapes)
          if ("input" in bound) {
            return yield* fail(`input "${bound.input}"`, bound.expected, bound.actual)
          }
          const fetches: Record<string, ort.Tensor | null> = {}
          for (const [name, { shape }] of compiled.outputs) {
            const target = into?.[name as O]
            if (target === undefined) {
              fetches[outputName(name)] = null
              continue
            }
            const dims = shape.map((axis) =>
              typeof axis === "number"
                ? axis
                : symbols(axis).reduce((sum, part) => sum + (bound.sizes.get(part) ?? 0), 0)
            )
            if (dims.reduce((a, b) => a * b, 1) !== target.length) {
              return yield* fail(`output "${name}"`, formatShape(dims), `an array of ${target.length}`)
            }
            fetches[outputName(name)] = new ort.Tensor("float32", target, dims)
          }
          const results = yield* Effect.tryPromise({
            try: () => session.run(fed, fetches),
            catch: (cause) => new TensorError({ reason: new BackendFailure({ backend, program: program.name, cause }) })
          })
          const handles: Partial<Record<O, Effect.Success<ReturnType<Ledger["handle"]>>>> = {}
          for (const name of compiled.outputs.keys()) {
            const tensor = results[outputName(name)]!
            const owned = into?.[name as O] === undefined
            const handle = yield* ledger.handle(
              name,
              tensor.dims,
              owned ? bytesOf(tensor) : 0,
              () => fromOrt(tensor),
              () => tensor.dispose()
            )
            tensors.set(handle, { tensor })
            handles[name as O] = handle
          }
          return handles as Record<O, Effect.Success<ReturnType<Ledger["handle"]>>>
        })

        return {
          name: program.name,
          nodes: compiled.graph.nodes.length,
          compileMillis: performance.now() - started,
          run
        }
      }
    )
    return TensorRuntime.of({ name: backend, compile, usage: Effect.sync(() => ledger.usage) })
  })

/** The CPU runtime. */
export const layerCpu = (options: OnnxOptions = {}): Layer.Layer<TensorRuntime> =>
  Layer.effect(TensorRuntime, make(options))
