/**
 * Devices that run graphs and hold their values: the processor, or a GPU.
 */
import { type DataType, type HostTensor } from "../../src/tensor/TensorProgram.ts"
import type * as OnnxProto from "./OnnxProto.ts"
import { type Target } from "./TracingBackend.ts"

/** An output of a run: its type, its shape in this run, and the host array that is to hold it, if any. */
export interface DeviceOutput {
  readonly dtype: DataType
  readonly shape: ReadonlyArray<number>
  readonly into?: Float32Array | undefined
}

/** An open graph over values of type `V`, by graph name. */
export interface DeviceSession<V> {
  run(
    feeds: Readonly<Record<string, V>>,
    outputs: Readonly<Record<string, DeviceOutput>>
  ): Promise<Readonly<Record<string, V>>>
  release(): Promise<void>
}

/** A device with values of type `V`. */
export interface Device<V> {
  readonly name: string
  readonly target: Target
  /** Values stay on the device; reading and placing them copies. */
  readonly resident: boolean
  /** Weights may be fed in bfloat16; otherwise they are widened before they are placed. */
  readonly halves: boolean
  open(graph: OnnxProto.Graph): Promise<DeviceSession<V>>
  /** Both answer at once where values lie in host memory: a run feeds dozens of them. */
  place(tensor: HostTensor): V | Promise<V>
  read(value: V): HostTensor | Promise<HostTensor>
  bytes(value: V): number
  dispose(value: V): void
  /** Returns the number of calls that another thread has not answered. */
  waiting(): number
  close(): Promise<void>
}
