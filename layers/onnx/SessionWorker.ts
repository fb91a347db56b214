/**
 * Sessions on a worker thread: the calling thread stays free for HTTP, progress and actors while a step runs.
 *
 * Arrays on shared memory (a `ParameterBuffer`, a snapshot of one, what was placed, outputs of earlier runs) are used
 * where they lie; `share` copies the others. Runs are carried out one at a time in the order of the calls.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { type HostTensor } from "../../src/tensor/TensorProgram.ts"
import { host as hostHere, type HostTensors, type Session, type SessionHost, type SessionOptions } from "./Session.ts"
import * as SharedMemory from "./SharedMemory.ts"

type Request =
  | { readonly op: "open"; readonly graph: Uint8Array }
  | { readonly op: "run"; readonly session: number; readonly feeds: HostTensors; readonly outputs: HostTensors }
  | { readonly op: "release"; readonly session: number }

interface Reply {
  readonly id: number
  readonly session?: number
  readonly error?: string
}

const marker = "sidereal-sessions"

const blank = (like: HostTensor): HostTensor => {
  const bytes = new SharedArrayBuffer(like.data.byteLength)
  const data = like.dtype === "float32"
    ? new Float32Array(bytes)
    : like.dtype === "int32"
    ? new Int32Array(bytes)
    : like.dtype === "bfloat16"
    ? new Uint16Array(bytes)
    : new Uint8Array(bytes)
  return { ...like, data }
}

/** Returns a tensor on shared memory: itself, or a copy. */
export const share = (tensor: HostTensor): HostTensor => {
  if (SharedMemory.isShared(tensor.data)) return tensor
  const copy = blank(tensor)
  ;(copy.data as Float32Array).set(tensor.data as Float32Array)
  return copy
}

/** Starts a host whose sessions live on one worker thread until `close`; what they are fed lies on shared memory. */
export const host = (options: SessionOptions): SessionHost => {
  const worker = new Worker(new URL(import.meta.url), { workerData: { [marker]: options } })
  worker.unref()
  const waiting = new Map<
    number,
    { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void }
  >()
  let count = 0
  let dead: Error | undefined
  const fail = (error: Error) => {
    dead = error
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
    worker.unref()
  }
  worker.on("message", (reply: Reply) => {
    const call = waiting.get(reply.id)
    waiting.delete(reply.id)
    if (waiting.size === 0) worker.unref()
    if (reply.error === undefined) call?.resolve(reply)
    else call?.reject(new Error(reply.error))
  })
  worker.on("error", fail)
  worker.on("exit", (code) => fail(new Error(`the worker thread of the tensor engine ended (${code})`)))
  const call = (request: Request) =>
    new Promise<Reply>((resolve, reject) => {
      if (dead !== undefined) return reject(dead)
      const id = count++
      waiting.set(id, { resolve, reject })
      worker.ref()
      worker.postMessage({ id, request })
    })
  return {
    open: async (graph) => {
      const { session } = await call({ op: "open", graph })
      return {
        run: async (feeds, outputs) => {
          const targets: Record<string, HostTensor> = {}
          for (const [name, tensor] of Object.entries(outputs)) {
            targets[name] = SharedMemory.isShared(tensor.data) ? tensor : blank(tensor)
          }
          await call({ op: "run", session: session!, feeds, outputs: targets })
          for (const [name, tensor] of Object.entries(outputs)) {
            if (targets[name] !== tensor) (tensor.data as Float32Array).set(targets[name]!.data as Float32Array)
          }
        },
        release: async () => {
          if (dead === undefined) await call({ op: "release", session: session! })
        }
      }
    },
    waiting: () => waiting.size,
    close: async () => {
      await worker.terminate()
    }
  }
}

const serve = (options: SessionOptions): void => {
  const inner = hostHere(options)
  const sessions = new Map<number, Session>()
  let opened = 0
  const answer = async (request: Request): Promise<Partial<Reply>> => {
    if (request.op === "open") {
      const session = opened++
      sessions.set(session, await inner.open(request.graph))
      return { session }
    }
    const session = sessions.get(request.session)!
    if (request.op === "run") await session.run(request.feeds, request.outputs)
    else {
      sessions.delete(request.session)
      await session.release()
    }
    return {}
  }
  parentPort!.on("message", ({ id, request }: { readonly id: number; readonly request: Request }) => {
    answer(request).then(
      (reply) => parentPort!.postMessage({ id, ...reply }),
      (error: unknown) => parentPort!.postMessage({ id, error: error instanceof Error ? error.message : String(error) })
    )
  })
}

const given = workerData as { readonly [marker]?: SessionOptions } | null
if (!isMainThread && given?.[marker] !== undefined) serve(given[marker])
