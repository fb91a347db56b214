/**
 * The compiling tensor runtime: a program becomes one ONNX graph that onnxruntime-node runs.
 *
 * Weights are inputs of the graph, never constants in it, so one session serves every version of a model. Run-time sizes
 * are symbolic in the graph, so one program needs one session for all sizes. On the processor results are equal
 * bit for bit from run to run for the same number of threads.
 *
 * tfjs and onnxruntime-node are loaded when a runtime is built; without them it fails with `BackendUnavailable`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Packages from "../../src/run/Packages.ts"
import { BackendUnavailable, TensorError } from "../../src/tensor/TensorError.ts"
import { type TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import type * as OnnxEngine from "./OnnxEngine.ts"

/** Settings of the CPU runtime. */
export type OnnxOptions = OnnxEngine.OnnxOptions

type RuntimeLayer = Layer.Layer<TensorRuntime, TensorError>

const loaded = (backend: string, layerOf: (engine: typeof OnnxEngine) => RuntimeLayer): RuntimeLayer =>
  Layer.unwrap(
    Effect.tryPromise({
      try: () => import("./OnnxEngine.ts"),
      catch: (cause) =>
        new TensorError({ reason: new BackendUnavailable({ backend, remedy: Packages.explain(cause).message }) })
    }).pipe(Effect.map(layerOf))
  )

/** Provides the CPU runtime. */
export const layerCpu = (options: OnnxOptions = {}): RuntimeLayer =>
  loaded("onnx-cpu", (engine) => engine.layerCpu(options))

/** Provides the GPU runtime over WebGPU (Vulkan, Metal or Direct3D 12); weights and optimizer slots stay on the device. */
export const layerWebGpu: RuntimeLayer = loaded("webgpu", (engine) => engine.layerWebGpu)

/** Provides the CUDA runtime, for an onnxruntime-node with its CUDA provider; values lie in host memory. */
export const layerCuda: RuntimeLayer = loaded("cuda", (engine) => engine.layerCuda)
