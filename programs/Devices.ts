/**
 * Devices of tensor programs, by their names on the command line.
 */
import * as OnnxRuntime from "../layers/onnx/OnnxRuntime.ts"
import * as TensorFlow from "../layers/tfjs/TensorFlow.ts"

/** Tensor runtimes by name. */
export const devices = {
  cpu: OnnxRuntime.layerCpu(),
  webgpu: OnnxRuntime.layerWebGpu,
  cuda: OnnxRuntime.layerCuda,
  tensorflow: TensorFlow.layer
}

/** Name of a device. */
export type Device = keyof typeof devices

/** Names of all devices. */
export const names = Object.keys(devices) as ReadonlyArray<Device>
