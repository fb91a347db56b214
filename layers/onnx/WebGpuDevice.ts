/**
 * Values in the memory of a GPU, computed by onnxruntime's WebGPU provider.
 *
 * Real outputs stay on the device as `gpu-buffer`; integers and booleans, which programs of this project only feed, come
 * back to the host. Copies in both directions are graphs of one `Identity`, because onnxruntime-node has no call for
 * them.
 */
import * as ort from "onnxruntime-node"
import { type DataType, type HostTensor } from "../../src/tensor/TensorProgram.ts"
import { type Device } from "./Device.ts"
import * as OnnxProto from "./OnnxProto.ts"
import * as SharedMemory from "./SharedMemory.ts"

const isOnDevice = (value: ort.Tensor) => value.location === "gpu-buffer"

const toHost = (tensor: ort.Tensor): HostTensor => ({
  dtype: tensor.type as DataType,
  shape: tensor.dims,
  data: tensor.data as HostTensor["data"]
})

const create = (graph: OnnxProto.Graph, location: "cpu" | "gpu-buffer") =>
  ort.InferenceSession.create(OnnxProto.encode(graph), {
    executionProviders: ["webgpu", "cpu"],
    graphOptimizationLevel: "basic",
    logSeverityLevel: 3,
    preferredOutputLocation: Object.fromEntries(
      graph.outputs.map((output) => [output.name, output.type === "float32" ? location : "cpu"])
    )
  })

const identity = (rank: number): OnnxProto.Graph => {
  const shape = Array.from({ length: rank }, (_, axis) => `D${axis}`)
  return {
    name: "copy",
    nodes: [{ operator: "Identity", domain: "", inputs: ["x"], outputs: ["y"], attributes: {} }],
    initializers: [],
    inputs: [{ name: "x", type: "float32", shape }],
    outputs: [{ name: "y", type: "float32", shape }]
  }
}

/** Opens the adapter; fails in onnxruntime's words where there is none. */
export const make = async (): Promise<Device<ort.Tensor>> => {
  const copies = new Map<string, Promise<ort.InferenceSession>>()
  const copy = async (tensor: ort.Tensor, location: "cpu" | "gpu-buffer") => {
    const key = `${location} ${tensor.dims.length}`
    let session = copies.get(key)
    if (session === undefined) {
      session = create(identity(tensor.dims.length), location)
      copies.set(key, session)
    }
    return (await (await session).run({ x: tensor }))["y"]!
  }
  const place = async (given: HostTensor) => {
    const { data, dtype, shape } = await SharedMemory.isTaken() ? given : SharedMemory.unshared(given)
    const tensor = new ort.Tensor(dtype as "float32", data as Float32Array, shape)
    return dtype === "float32" && tensor.size > 0 ? copy(tensor, "gpu-buffer") : tensor
  }
  const read = async (value: ort.Tensor) => toHost(isOnDevice(value) ? await copy(value, "cpu") : value)
  await place({ dtype: "float32", shape: [1], data: Float32Array.of(1) }).then((value) => value.dispose())
  return {
    name: "onnx-webgpu",
    target: "webgpu",
    resident: true,
    halves: false,
    open: async (graph) => {
      const session = await create(graph, "gpu-buffer")
      return {
        run: async (feeds, outputs) => {
          const values: Record<string, ort.Tensor> = { ...(await session.run(feeds)) }
          for (const [name, { into }] of Object.entries(outputs)) {
            if (into !== undefined) into.set((await read(values[name]!)).data as Float32Array)
          }
          return values
        },
        release: () => session.release()
      }
    },
    place,
    read,
    bytes: (value) => value.size * (value.type === "bool" ? 1 : 4),
    dispose: (value) => value.dispose(),
    waiting: () => 0,
    close: async () => {
      for (const session of copies.values()) await (await session).release()
    }
  }
}
