/**
 * Values in host memory, computed by the processor or by CUDA: what `OnnxRuntime` runs graphs with by default.
 */
import { type HostTensor } from "../../src/tensor/TensorProgram.ts"
import { type Device, type DeviceOutput } from "./Device.ts"
import * as OnnxProto from "./OnnxProto.ts"
import { host, seal, type SessionOptions } from "./Session.ts"
import * as SessionWorker from "./SessionWorker.ts"

const allocate = ({ dtype, into, shape }: DeviceOutput, shared: boolean): HostTensor => {
  if (into !== undefined) return { dtype, shape, data: into }
  const size = shape.reduce((a, b) => a * b, 1)
  const bytes = size * (dtype === "bool" ? 1 : 4)
  const memory = (shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes)) as ArrayBuffer
  const data = dtype === "float32"
    ? new Float32Array(memory)
    : dtype === "int32"
    ? new Int32Array(memory)
    : new Uint8Array(memory)
  return { dtype, shape, data }
}

/** Sessions in this thread, or on a thread of their own. */
export const make = (options: SessionOptions & { readonly worker: boolean }): Device<HostTensor> => {
  const sessions = options.worker ? SessionWorker.host(options) : host(options)
  return {
    name: `onnx-${options.provider}`,
    target: "cpu",
    resident: false,
    open: async (graph) => {
      const session = await sessions.open(OnnxProto.encode(graph, seal))
      return {
        run: async (feeds, outputs) => {
          const values: Record<string, HostTensor> = {}
          for (const [name, output] of Object.entries(outputs)) values[name] = allocate(output, options.worker)
          await session.run(feeds, values)
          return values
        },
        release: session.release
      }
    },
    // What is placed is read by many runs: a worker must not be sent a copy for each.
    place: options.worker ? SessionWorker.share : (tensor) => tensor,
    read: (value) => value,
    bytes: (value) => value.data.byteLength,
    dispose: () => {},
    close: sessions.close
  }
}
