/**
 * Shared memory as inputs and outputs of onnxruntime-node: Node 22 hands native modules no arrays on it, so they are
 * copied there; Node 24 does.
 */
import * as ort from "onnxruntime-node"
import { type HostTensor } from "../../src/tensor/TensorProgram.ts"
import * as OnnxProto from "./OnnxProto.ts"

const identity: OnnxProto.Graph = {
  name: "identity",
  nodes: [{ operator: "Identity", domain: "", inputs: ["x"], outputs: ["y"], attributes: {} }],
  initializers: [],
  inputs: [{ name: "x", type: "float32", shape: ["N"] }],
  outputs: [{ name: "y", type: "float32", shape: ["N"] }]
}

const probe = async (): Promise<boolean> => {
  const session = await ort.InferenceSession.create(OnnxProto.encode(identity), { intraOpNumThreads: 1 })
  try {
    await session.run({ x: new ort.Tensor("float32", new Float32Array(new SharedArrayBuffer(4)), [1]) })
    return true
  } catch {
    return false
  } finally {
    await session.release()
  }
}

let probed: Promise<boolean> | undefined

/** Returns whether arrays on shared memory can be fed and written, by a trial at the first call. */
export const isTaken = (): Promise<boolean> => probed ??= probe()

/** Returns whether an array lies on shared memory. */
export const isShared = (data: HostTensor["data"]): boolean => data.buffer instanceof SharedArrayBuffer

/** Returns the tensor itself, or a copy on memory of its own where it is shared. */
export const unshared = (tensor: HostTensor): HostTensor =>
  // `slice` allocates memory that is not shared.
  isShared(tensor.data) ? { ...tensor, data: tensor.data.slice() } : tensor
