/**
 * The default device of `OnnxRuntime`: values in host memory, computed by the processor or by CUDA.
 */
import { type HostTensor } from "../../src/tensor/TensorProgram.ts"
import { type Device, type DeviceOutput } from "./Device.ts"
import { IdleMemory } from "./IdleMemory.ts"
import * as OnnxProto from "./OnnxProto.ts"
import { host, seal, type SessionOptions } from "./Session.ts"
import * as SessionWorker from "./SessionWorker.ts"

const allocate = ({ dtype, into, shape }: DeviceOutput, memory: IdleMemory): HostTensor => {
  if (into !== undefined) return { dtype, shape, data: into }
  const size = shape.reduce((a, b) => a * b, 1)
  const buffer = memory.take(size * (dtype === "bool" ? 1 : 4)) as ArrayBuffer
  const data = dtype === "float32"
    ? new Float32Array(buffer, 0, size)
    : dtype === "int32"
    ? new Int32Array(buffer, 0, size)
    : new Uint8Array(buffer, 0, size)
  return { dtype, shape, data }
}

/** Makes the device, with its sessions in this thread or on a worker thread. */
export const make = (options: SessionOptions & { readonly worker: boolean }): Device<HostTensor> => {
  const sessions = options.worker ? SessionWorker.host(options) : host(options)
  const memory = new IdleMemory((bytes) => options.worker ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes))
  // Outputs that nobody has read. Runs follow each other, so a queued run reads them before a later one writes to them.
  const own = new WeakSet<HostTensor>()
  return {
    name: `onnx-${options.provider}`,
    target: "cpu",
    resident: false,
    halves: options.provider === "cpu",
    open: async (graph) => {
      const session = await sessions.open(OnnxProto.encode(graph, seal))
      return {
        run: async (feeds, outputs) => {
          const values: Record<string, HostTensor> = {}
          for (const [name, output] of Object.entries(outputs)) values[name] = allocate(output, memory)
          await session.run(feeds, values)
          for (const [name, output] of Object.entries(outputs)) if (output.into === undefined) own.add(values[name]!)
          return values
        },
        release: session.release
      }
    },
    // What is placed is read by many runs: a worker must not be sent a copy for each.
    place: options.worker ? SessionWorker.share : (tensor) => tensor,
    read: (value) => {
      own.delete(value)
      return value
    },
    bytes: (value) => value.data.byteLength,
    dispose: (value) => {
      if (own.delete(value)) memory.give(value.data.buffer)
    },
    waiting: sessions.waiting,
    close: sessions.close
  }
}
