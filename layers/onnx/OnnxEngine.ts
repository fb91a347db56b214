/**
 * The engine behind `OnnxRuntime`, which loads this file, and with it tfjs and onnxruntime-node, when a runtime is built.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import { availableParallelism } from "node:os"
import * as ort from "onnxruntime-node"
import * as ProgramFeeds from "../../src/tensor/ProgramFeeds.ts"
import { BackendFailure, BackendUnavailable, TensorError, UseAfterRelease } from "../../src/tensor/TensorError.ts"
import { type HostTensor, type TensorProgram, widened } from "../../src/tensor/TensorProgram.ts"
import { type Feed, isHandle, type TensorHandle, TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { Ledger, liveBytes, observe } from "../../src/tensor/TensorUsage.ts"
import { toTensorError } from "../../src/tensor/TraceFailure.ts"
import { type Device, type DeviceOutput } from "./Device.ts"
import "./FusedLowerings.ts"
import * as HostDevice from "./HostDevice.ts"
import { valueOf } from "./Lowerings.ts"
import * as SymbolicShape from "./SymbolicShape.ts"
import { inputName, outputName, trace } from "./TracingBackend.ts"
import * as WebGpuDevice from "./WebGpuDevice.ts"

/** Settings of the CPU runtime. */
export interface OnnxOptions {
  /** Threads inside one operator. @default the processors of the machine, at most 8 */
  readonly threads?: number | undefined
  /** Writes onnxruntime's profile of each session to this path prefix. */
  readonly profile?: string | undefined
  /** Runs on a worker thread, so that the calling thread stays free for other work. @default false */
  readonly worker?: boolean | undefined
}

/** Returns the gauge of the calls that a backend's worker thread has not answered. */
export const waitingCalls = (backend: string): Metric.Gauge<number> =>
  Metric.gauge("sidereal.tensor.waiting", {
    description: "Calls that the worker thread of the tensor engine has not answered",
    attributes: { backend }
  })

/** Returns whether a value is a host tensor in bfloat16. */
const isHalf = (value: object): boolean => "dtype" in value && value.dtype === "bfloat16"

const make = <V extends object>(device: Device<V>) =>
  Effect.gen(function*() {
    const ledger = new Ledger()
    yield* observe(liveBytes(device.name), () => ledger.usage.bytes)
    yield* observe(waitingCalls(device.name), () => device.waiting())
    const values = new WeakMap<object, V>()

    const failure = (program: string) => (cause: unknown) =>
      new TensorError({ reason: new BackendFailure({ backend: device.name, program, cause }) })

    const awaited = <A>(promise: Promise<A>, program: string) =>
      Effect.tryPromise({ try: () => promise, catch: failure(program) })

    const handle = (name: string, shape: ReadonlyArray<number>, value: V, owned: boolean) =>
      ledger.handle(
        name,
        shape,
        owned ? device.bytes(value) : 0,
        Effect.suspend(() => {
          const read = device.read(value)
          return read instanceof Promise ? awaited(read, `read "${name}"`) : Effect.succeed(read)
        }),
        () => device.dispose(value)
      ).pipe(Effect.tap((made) => Effect.sync(() => values.set(made, value))))

    const compile = Effect.fn("TensorRuntime.compile")(
      function*<I extends string, O extends string>(program: TensorProgram<I, O>) {
        const started = performance.now()
        const compiled = yield* Effect.try({
          try: () => trace(program, device.target, valueOf, device.halves),
          catch: (cause) => toTensorError(device.name, program.name, cause)
        })
        const session = yield* Effect.acquireRelease(
          Effect.tryPromise({ try: () => device.open(compiled.graph), catch: failure(program.name) }),
          (session) => Effect.promise(() => session.release())
        )
        const isOpen = yield* ledger.executable()
        const names = Object.keys(program.inputs) as Array<I>
        const inHalves = new Set(compiled.graph.inputs.flatMap(({ name, type }) => type === "uint16" ? [name] : []))

        const run = Effect.fnUntraced(function*(
          feeds: Readonly<Record<I, Feed>>,
          into?: Readonly<Partial<Record<O, Float32Array>>>
        ) {
          if (!isOpen()) return yield* new TensorError({ reason: new UseAfterRelease({ handle: program.name }) })
          const sizes = ProgramFeeds.bind(program, feeds)
          if (sizes instanceof TensorError) return yield* sizes
          const outputs: Record<string, DeviceOutput> = {}
          for (const [name, { axes, type }] of compiled.outputs) {
            const shape = axes.map((axis) => SymbolicShape.sizeOf(axis, sizes))
            const target = into?.[name as O]
            const wrong = ProgramFeeds.checkTarget(program.name, name, shape, target)
            if (wrong !== undefined) return yield* wrong
            outputs[outputName(name)] = { dtype: type, shape, into: target }
          }
          const passing: Array<V> = []
          const results = yield* Effect.gen(function*() {
            const fed: Record<string, V> = {}
            for (const name of names) {
              const feed: Feed = feeds[name]
              const known = values.get(feed)
              const isWidened = !inHalves.has(inputName(name))
              if (known !== undefined && !(isWidened && isHalf(known))) {
                fed[inputName(name)] = known
                continue
              }
              const host: HostTensor = isHandle(feed) ? yield* feed.read : feed
              const placed = device.place(isWidened ? widened(host) : host)
              const value = placed instanceof Promise ? yield* awaited(placed, program.name) : placed
              passing.push(value)
              fed[inputName(name)] = value
            }
            return yield* Effect.tryPromise({ try: () => session.run(fed, outputs), catch: failure(program.name) })
          }).pipe(Effect.ensuring(Effect.sync(() => {
            for (const value of passing) device.dispose(value)
          })))
          const handles: Partial<Record<O, TensorHandle>> = {}
          for (const name of compiled.outputs.keys()) {
            const output = outputs[outputName(name)]!
            handles[name as O] = yield* handle(
              name,
              output.shape,
              results[outputName(name)]!,
              output.into === undefined
            )
          }
          return handles as Record<O, TensorHandle>
          // The arrays belong to the run until it is over: an interruption waits for it.
        }, Effect.uninterruptible)

        return {
          name: program.name,
          nodes: compiled.graph.nodes.length,
          compileMillis: performance.now() - started,
          run
        }
      }
    )

    const place = Effect.fn("TensorRuntime.place")(function*<K extends string>(
      tensors: Readonly<Record<K, HostTensor>>
    ) {
      const placed: Partial<Record<K, TensorHandle>> = {}
      for (const [name, tensor] of Object.entries<HostTensor>(tensors)) {
        const made = device.place(device.halves ? tensor : widened(tensor))
        const value = made instanceof Promise ? yield* awaited(made, "place") : made
        placed[name as K] = yield* handle(name, tensor.shape, value, device.resident)
      }
      return placed as Record<K, TensorHandle>
    }, Effect.uninterruptible)

    return TensorRuntime.of({
      name: device.name,
      resident: device.resident,
      compile,
      place,
      usage: Effect.sync(() => ledger.usage)
    })
  })

const layerOf = <V extends object>(open: Effect.Effect<Device<V>, TensorError>) =>
  Layer.effect(
    TensorRuntime,
    Effect.acquireRelease(open, (device) => Effect.promise(() => device.close())).pipe(Effect.flatMap(make))
  )

const threadsOf = ({ threads }: OnnxOptions) => threads ?? Math.min(availableParallelism(), 8)

/** Provides the CPU runtime. */
export const layerCpu = (options: OnnxOptions): Layer.Layer<TensorRuntime, TensorError> =>
  layerOf(Effect.sync(() =>
    HostDevice.make({
      provider: "cpu",
      threads: threadsOf(options),
      profile: options.profile,
      worker: options.worker ?? false
    })
  ))

const unavailable = (backend: string, remedy: string, cause?: unknown) =>
  new TensorError({
    reason: new BackendUnavailable({
      backend,
      // onnxruntime puts the place in its sources and the failed condition before what happened.
      remedy: cause === undefined
        ? remedy
        : `${remedy} (${(cause instanceof Error ? cause.message : String(cause)).split(" was false. ").at(-1)!.trim()})`
    })
  })

/** Provides the GPU runtime over WebGPU. */
export const layerWebGpu: Layer.Layer<TensorRuntime, TensorError> = layerOf(
  Effect.tryPromise({
    try: () => WebGpuDevice.make(),
    catch: (cause) =>
      unavailable(
        "webgpu",
        "install a Vulkan driver and loader (Linux: mesa-vulkan-drivers or the vendor's, with libvulkan1) " +
          "or use --device cpu",
        cause
      )
  })
)

/** Provides the CUDA runtime. */
export const layerCuda: Layer.Layer<TensorRuntime, TensorError> = layerOf(
  Effect.suspend(() =>
    ort.listSupportedBackends().some((backend) => backend.name === "cuda" && backend.bundled)
      ? Effect.succeed(HostDevice.make({ provider: "cuda", threads: 1, worker: false }))
      : Effect.fail(unavailable(
        "cuda",
        "this onnxruntime-node has no CUDA provider; on Linux x64 with CUDA and cuDNN run " +
          "`ONNXRUNTIME_NODE_INSTALL=cuda npm rebuild onnxruntime-node`, or use --device webgpu or cpu"
      ))
  )
)
