/**
 * Sessions of onnxruntime-node on host memory: every output is written into an array of the caller.
 *
 * onnxruntime-node copies each output into a new array even when one was given for it (5 million floats: 9 ms and as
 * much garbage). Its conversion stops at the first output that is no tensor, after the run is complete; the graphs
 * therefore begin with such an output, the seal, and the arrays are read directly. Should a later version convert
 * sequences, the run succeeds and the arrays hold the same values.
 *
 * A session is never given up while the process may want its graph again, since onnxruntime does not return all its
 * memory: a released one waits, by the bytes of its graph, for the next that opens them.
 */
import { createHash } from "node:crypto"
import * as ort from "onnxruntime-node"
import { type HostTensor } from "../../src/tensor/TensorProgram.ts"
import * as SharedMemory from "./SharedMemory.ts"

/** The name of the output that seals a graph. */
export const seal = "sealed"

/** Settings of sessions. */
export interface SessionOptions {
  readonly provider: "cpu" | "cuda"
  /** Threads inside one operator. */
  readonly threads: number
  /** Writes onnxruntime's profile of each session to this path prefix. */
  readonly profile?: string | undefined
}

/** Host tensors by graph name. */
export type HostTensors = Readonly<Record<string, HostTensor>>

/** An open graph. */
export interface Session {
  /** Runs the graph and fills `outputs`, which name every output. */
  run(feeds: HostTensors, outputs: HostTensors): Promise<void>
  release(): Promise<void>
}

/** A host that opens sealed graphs. */
export interface SessionHost {
  open(graph: Uint8Array): Promise<Session>
  /** Returns the number of calls that another thread has not answered. */
  waiting(): number
  close(): Promise<void>
}

const wrappers = new WeakMap<HostTensor["data"], ort.Tensor>()

const sameShape = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
  a.length === b.length && a.every((size, axis) => size === b[axis])

/** The tensor over an array; arrays that live long (weights, gradients) keep theirs. */
const wrap = ({ data, dtype, shape }: HostTensor): ort.Tensor => {
  const known = wrappers.get(data)
  const type = dtype === "bfloat16" ? "uint16" : dtype
  if (known !== undefined && known.type === type && sameShape(known.dims, shape)) return known
  const tensor = new ort.Tensor(type as "float32", data as Float32Array, shape)
  wrappers.set(data, tensor)
  return tensor
}

const isSeal = (cause: unknown) => cause instanceof Error && cause.message.startsWith("Non tensor type")

const runSealed = async (session: ort.InferenceSession, feeds: HostTensors, outputs: HostTensors): Promise<void> => {
  const fed: Record<string, ort.Tensor> = {}
  for (const [name, tensor] of Object.entries(feeds)) fed[name] = wrap(tensor)
  const fetches: Record<string, ort.Tensor | null> = { [seal]: null }
  for (const [name, tensor] of Object.entries(outputs)) fetches[name] = wrap(tensor)
  try {
    await session.run(fed, fetches)
  } catch (cause) {
    if (!isSeal(cause)) throw cause
  }
}

/** Runs the graph on copies of the arrays on shared memory. */
const runCopied = async (session: ort.InferenceSession, feeds: HostTensors, outputs: HostTensors): Promise<void> => {
  const copies = (tensors: HostTensors): HostTensors =>
    Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, SharedMemory.unshared(tensor)]))
  const written = copies(outputs)
  await runSealed(session, copies(feeds), written)
  for (const [name, { data }] of Object.entries(outputs)) {
    if (written[name]!.data !== data) (data as Float32Array).set(written[name]!.data as Float32Array)
  }
}

/** Idle sessions that are kept for their next use. */
const idleSessions = 64

interface Idle {
  readonly key: string
  readonly session: ort.InferenceSession
}

const idle: Array<Idle> = []

const settings = (
  { profile, provider, threads }: SessionOptions,
  graph: Uint8Array
): ort.InferenceSession.SessionOptions => ({
  executionProviders: provider === "cpu" ? ["cpu"] : [provider, "cpu"],
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  graphOptimizationLevel: "basic",
  enableCpuMemArena: true,
  // Threads of one session must not spin while another session, or the host, has work to do; and only briefly within a
  // run, whose other threads may be waiting for the processor that a process beside this one has.
  extra: {
    session: { force_spinning_stop: "1", intra_op: { spin_duration_us: "50" } },
    // Widenings of 16-bit weights must stay apart: one for all uses would be kept from the first to the last of them.
    ...(Buffer.from(graph.buffer, graph.byteOffset, graph.byteLength).includes("BitCast")
      ? { optimization: { disable_specified_optimizers: "CommonSubexpressionElimination" } }
      : {})
  },
  logSeverityLevel: 3,
  ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile })
})

/** Makes a host whose sessions run in this thread; a run blocks the thread until it is complete. */
export const host = (options: SessionOptions): SessionHost => ({
  open: async (graph) => {
    const key = `${createHash("sha256").update(graph).digest("hex")} ${options.provider} ${options.threads}`
    const waiting = idle.findIndex((candidate) => candidate.key === key)
    const session = waiting >= 0 && options.profile === undefined
      ? idle.splice(waiting, 1)[0]!.session
      : await ort.InferenceSession.create(graph, settings(options, graph))
    const run = await SharedMemory.isTaken() ? runSealed : runCopied
    return {
      run: (feeds, outputs) => run(session, feeds, outputs),
      release: async () => {
        if (options.profile !== undefined) {
          session.endProfiling()
          return session.release()
        }
        idle.push({ key, session })
        if (idle.length > idleSessions) await idle.shift()!.session.release()
      }
    }
  },
  waiting: () => 0,
  close: async () => {}
})
