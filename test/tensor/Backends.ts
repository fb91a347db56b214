/**
 * The runtimes that tests run on: those of every machine, and those that this one has.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Eager from "../../layers/tfjs/Eager.ts"
import * as Reference from "../../layers/tfjs/Reference.ts"
import * as TensorFlow from "../../layers/tfjs/TensorFlow.ts"
import { type TensorError } from "../../src/tensor/TensorError.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"

/** A runtime by name. */
export type Backend = readonly [name: string, layer: Layer.Layer<TensorRuntime>]

const present = (name: string, layer: Layer.Layer<TensorRuntime, TensorError>): Promise<ReadonlyArray<Backend>> =>
  Effect.runPromise(
    Effect.scoped(Layer.build(layer)).pipe(
      Effect.map((): ReadonlyArray<Backend> => [[name, Layer.orDie(layer)]]),
      Effect.orElseSucceed(() => [])
    )
  )

/** The oracle with its tensors kept as those of a device are, where no device is there. */
export const resident: Backend = [
  "reference, resident",
  Layer.effect(TensorRuntime, Eager.make({ name: "resident", backend: "cpu", resident: true })).pipe(
    Layer.provide(Reference.layer)
  )
]

/** Every runtime by name; the compiling one on the processor stands first, the oracle second. */
export const backends: ReadonlyArray<Backend> = [
  ["onnx-cpu", Layer.orDie(OnnxRuntime.layerCpu({ threads: 2 }))],
  ["reference", Reference.layer],
  ["onnx-cpu on a worker thread", Layer.orDie(OnnxRuntime.layerCpu({ threads: 2, worker: true }))],
  ...(await present("onnx-webgpu", OnnxRuntime.layerWebGpu)),
  ...(await present("tensorflow", TensorFlow.layer))
]
