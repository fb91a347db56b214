/**
 * Runtimes that call the body of a program anew in every run, on a backend of tfjs.
 *
 * They have no fused kernels, so every operation runs in its plain form with the gradient that tfjs derives.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as ProgramFeeds from "../../src/tensor/ProgramFeeds.ts"
import { BackendFailure, TensorError, UseAfterRelease } from "../../src/tensor/TensorError.ts"
import { type DataType, type HostTensor, type TensorProgram, widened } from "../../src/tensor/TensorProgram.ts"
import { type Feed, isHandle, type TensorHandle, TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { Ledger, liveBytes, observe } from "../../src/tensor/TensorUsage.ts"
import { toTensorError } from "../../src/tensor/TraceFailure.ts"

/** A tfjs backend as a runtime. */
export interface EagerBackend {
  /** The name of the runtime. */
  readonly name: string
  /** The name under which tfjs knows it. */
  readonly backend: string
  /** Outputs stay tensors of the backend. */
  readonly resident: boolean
}

/** Runs a function on a backend and restores the previous one. */
const within = <A>(backend: string, body: () => A): A => {
  const before = tf.getBackend()
  void tf.setBackend(backend)
  try {
    return body()
  } finally {
    if (before !== undefined && before !== "" && before !== backend) void tf.setBackend(before)
  }
}

const toTensor = (given: HostTensor): tf.Tensor => {
  const { data, dtype, shape } = widened(given)
  return tf.tensor((data as Float32Array).slice(), [...shape], dtype as DataType)
}

const toHost = (tensor: tf.Tensor): HostTensor => ({
  dtype: tensor.dtype as HostTensor["dtype"],
  shape: tensor.shape,
  data: tensor.dataSync().slice() as HostTensor["data"]
})

/** Makes the runtime over a backend. */
export const make = ({ backend, name: runtime, resident }: EagerBackend) =>
  Effect.gen(function*() {
    const ledger = new Ledger()
    yield* observe(liveBytes(runtime), () => ledger.usage.bytes)
    const tensors = new WeakMap<object, tf.Tensor>()

    const keep = (name: string, tensor: tf.Tensor, owned: boolean) =>
      ledger.handle(
        name,
        tensor.shape,
        owned ? tensor.size * (tensor.dtype === "bool" ? 1 : 4) : 0,
        Effect.try({
          try: () => within(backend, () => toHost(tensor)),
          catch: (cause) => new TensorError({ reason: new BackendFailure({ backend: runtime, program: name, cause }) })
        }),
        () => within(backend, () => tensor.dispose())
      ).pipe(Effect.tap((handle) => Effect.sync(() => tensors.set(handle, tensor))))

    const compile = Effect.fn("TensorRuntime.compile")(
      function*<I extends string, O extends string>(program: TensorProgram<I, O>) {
        const isOpen = yield* ledger.executable()
        const names = Object.keys(program.inputs) as Array<I>

        const evaluate = (feeds: Readonly<Record<I, Feed>>): Readonly<Record<string, tf.Tensor>> =>
          within(backend, () =>
            tf.tidy(() => {
              const inputs = Object.fromEntries(names.map((name) => {
                const feed = feeds[name]
                return [name, isHandle(feed) ? tensors.get(feed)! : toTensor(feed as HostTensor)]
              })) as Record<I, tf.Tensor>
              // An output that is an input, or another output, must be disposed of on its own.
              return Object.fromEntries(
                Object.entries<tf.Tensor>(program.body(inputs)).map(([name, tensor]) => [name, tensor.clone()])
              )
            }))

        const run = Effect.fnUntraced(function*(
          feeds: Readonly<Record<I, Feed>>,
          into?: Readonly<Partial<Record<O, Float32Array>>>
        ) {
          if (!isOpen()) return yield* new TensorError({ reason: new UseAfterRelease({ handle: program.name }) })
          const sizes = ProgramFeeds.bind(program, feeds)
          if (sizes instanceof TensorError) return yield* sizes
          const results = yield* Effect.try({
            try: () => evaluate(feeds),
            catch: (cause) => toTensorError(runtime, program.name, cause)
          })
          const handles: Partial<Record<O, TensorHandle>> = {}
          for (const [name, tensor] of Object.entries<tf.Tensor>(results)) {
            const target = into?.[name as O]
            handles[name as O] = yield* keep(name, tensor, target === undefined)
            if (target === undefined) continue
            const wrong = ProgramFeeds.checkTarget(program.name, name, tensor.shape, target)
            if (wrong !== undefined) return yield* wrong
            target.set((yield* handles[name as O]!.read).data)
          }
          return handles as Record<O, TensorHandle>
        }, Effect.uninterruptible)
        return { name: program.name, nodes: 0, compileMillis: 0, run }
      }
    )

    const place = Effect.fn("TensorRuntime.place")(function*<K extends string>(
      hosts: Readonly<Record<K, HostTensor>>
    ) {
      const placed: Partial<Record<K, TensorHandle>> = {}
      for (const [name, host] of Object.entries<HostTensor>(hosts)) {
        placed[name as K] = yield* keep(name, within(backend, () => toTensor(host)), true)
      }
      return placed as Record<K, TensorHandle>
    })

    return TensorRuntime.of({ name: runtime, resident, compile, place, usage: Effect.sync(() => ledger.usage) })
  })
