/**
 * The interpreting tensor runtime on tfjs's JavaScript backend: slow, plain, and the oracle of every test.
 *
 * It has no fused kernels, so every operation runs in its plain form with the gradient that tfjs derives.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ShapeMismatch, TensorError, UseAfterRelease } from "../../src/tensor/TensorError.ts"
import { bindSymbols, formatShape, type HostTensor, type TensorProgram } from "../../src/tensor/TensorProgram.ts"
import { type Feed, isHandle, TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { Ledger } from "../../src/tensor/TensorUsage.ts"
import { toTensorError } from "../../src/tensor/TraceFailure.ts"

const backend = "reference"

let greeted = false

/** tfjs's JavaScript backend prints an advertisement on first use, except under its own test flag. */
const quiet = (): void => {
  if (greeted) return
  greeted = true
  tf.env().set("IS_TEST", true)
  void tf.setBackend("cpu")
  tf.scalar(0).dispose()
  tf.env().set("IS_TEST", false)
}

const evaluate = <I extends string, O extends string>(
  program: TensorProgram<I, O>,
  feeds: Readonly<Record<I, HostTensor>>
): Record<O, HostTensor> => {
  const before = tf.getBackend()
  quiet()
  void tf.setBackend("cpu")
  const engine = tf.engine()
  engine.startScope(program.name)
  try {
    const inputs = Object.fromEntries(
      Object.entries<HostTensor>(feeds).map(([name, { data, dtype, shape }]) => [
        name,
        tf.tensor(data.slice(), [...shape], dtype)
      ])
    ) as Record<I, tf.Tensor>
    const outputs = Object.entries<tf.Tensor>(program.body(inputs)).map(([name, tensor]) => [name, {
      dtype: tensor.dtype as HostTensor["dtype"],
      shape: tensor.shape,
      data: tensor.dataSync().slice() as HostTensor["data"]
    }])
    return Object.fromEntries(outputs) as Record<O, HostTensor>
  } finally {
    engine.endScope()
    if (before !== undefined && before !== "" && before !== "cpu") void tf.setBackend(before)
  }
}

const make = Effect.sync(() => {
  const ledger = new Ledger()
  const compile = Effect.fn("TensorRuntime.compile")(
    function*<I extends string, O extends string>(program: TensorProgram<I, O>) {
      const isOpen = yield* ledger.executable()
      const run = Effect.fnUntraced(function*(
        feeds: Readonly<Record<I, Feed>>,
        into?: Readonly<Partial<Record<O, Float32Array>>>
      ) {
        if (!isOpen()) return yield* new TensorError({ reason: new UseAfterRelease({ handle: program.name }) })
        const fed: Partial<Record<I, HostTensor>> = {}
        for (const name of Object.keys(program.inputs) as Array<I>) {
          const feed = feeds[name]
          if (feed !== undefined) fed[name] = isHandle(feed) ? yield* feed.read : feed as HostTensor
        }
        const shapes = Object.fromEntries(
          Object.entries<HostTensor>(fed as Record<I, HostTensor>).map(([name, { shape }]) => [name, shape])
        )
        const bound = bindSymbols(program.inputs, shapes)
        if ("input" in bound) {
          return yield* new TensorError({
            reason: new ShapeMismatch({
              program: program.name,
              site: `input "${bound.input}"`,
              expected: bound.expected,
              actual: bound.actual
            })
          })
        }
        const results = yield* Effect.try({
          try: () => evaluate(program, fed as Record<I, HostTensor>),
          catch: (cause) => toTensorError(backend, program.name, cause)
        })
        const handles: Partial<Record<O, Effect.Success<ReturnType<Ledger["handle"]>>>> = {}
        for (const [name, tensor] of Object.entries<HostTensor>(results)) {
          const target = into?.[name as O]
          if (target !== undefined) {
            if (target.length !== tensor.data.length) {
              return yield* new TensorError({
                reason: new ShapeMismatch({
                  program: program.name,
                  site: `output "${name}"`,
                  expected: formatShape(tensor.shape),
                  actual: `an array of ${target.length}`
                })
              })
            }
            target.set(tensor.data)
          }
          const host = target === undefined ? tensor : { ...tensor, data: target }
          handles[name as O] = yield* ledger.handle(
            name,
            tensor.shape,
            target === undefined ? tensor.data.byteLength : 0,
            () => host,
            () => {}
          )
        }
        return handles as Record<O, Effect.Success<ReturnType<Ledger["handle"]>>>
      })
      return { name: program.name, nodes: 0, compileMillis: 0, run }
    }
  )
  return TensorRuntime.of({ name: backend, compile, usage: Effect.sync(() => ledger.usage) })
})

/** The reference runtime. */
export const layer: Layer.Layer<TensorRuntime> = Layer.effect(TensorRuntime, make)
