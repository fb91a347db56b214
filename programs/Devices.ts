/**
 * The devices that programs can be given: names of the command line, layers in code.
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

/** A name of a device. */
export type Device = keyof typeof devices

/** Every name. */
export const names = Object.keys(devices) as ReadonlyArray<Device>
