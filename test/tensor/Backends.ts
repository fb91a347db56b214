/**
 * The runtimes that tests run on.
 */
import type * as Layer from "effect/Layer"
import * as OnnxRuntime from "../../layers/onnx/OnnxRuntime.ts"
import * as Reference from "../../layers/tfjs/Reference.ts"
import { type TensorRuntime } from "../../src/tensor/TensorRuntime.ts"

/** Every runtime by name. */
export const backends: ReadonlyArray<readonly [string, Layer.Layer<TensorRuntime>]> = [
  ["onnx-cpu", OnnxRuntime.layerCpu({ threads: 2 })],
  ["reference", Reference.layer]
]
