/**
 * Devices of tensor programs, by their names on the command line.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import * as Packages from "../src/run/Packages.ts"

/** Tensor runtimes by name. */
export const devices = {
  cpu: OnnxRuntime.layerCpu(),
  webgpu: OnnxRuntime.layerWebGpu,
  cuda: OnnxRuntime.layerCuda,
  tensorflow: Layer.unwrap(
    Packages.load(() => import("../layers/tfjs/TensorFlow.ts")).pipe(Effect.map(({ layer }) => layer))
  )
}

/** Name of a device. */
export type Device = keyof typeof devices

/** Names of all devices. */
export const names = Object.keys(devices) as ReadonlyArray<Device>
