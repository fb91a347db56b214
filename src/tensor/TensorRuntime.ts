/**
 * Service that compiles tensor programs once and runs them many times; owns the memory of the device.
 *
 * A runtime is a Layer: `OnnxRuntime.layerCpu` compiles, `Reference.layer` interprets on the JavaScript backend of tfjs
 * and is the reference in tests. Handles are released with the Scope in which they were created.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type TensorError } from "./TensorError.ts"
import { type HostTensor, type TensorProgram } from "./TensorProgram.ts"

/** A tensor owned by a runtime, alive until its Scope closes. */
export interface TensorHandle {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  /** Values on the host, without a copy where the backend allows it; fails with `UseAfterRelease`. */
  readonly read: Effect.Effect<HostTensor, TensorError>
  /** Returns whether the Scope of the handle is closed. */
  readonly released: () => boolean
}

/** Input value of a program. */
export type Feed = HostTensor | TensorHandle

/** Returns whether a feed is a handle of a runtime. */
export const isHandle = (feed: Feed): feed is TensorHandle => "read" in feed

/** A compiled program. */
export interface Executable<I extends string, O extends string> {
  readonly name: string
  /** Number of nodes of the compiled graph, 0 for an eager runtime. */
  readonly nodes: number
  /** Compilation time, in milliseconds. */
  readonly compileMillis: number
  /**
   * Runs the program. Outputs named in `into` are written to these arrays (without allocation or copy where the backend
   * allows it). Returns every output as a handle of the caller's Scope.
   */
  run(
    feeds: Readonly<Record<I, Feed>>,
    into?: Readonly<Partial<Record<O, Float32Array>>>
  ): Effect.Effect<Readonly<Record<O, TensorHandle>>, TensorError, Scope.Scope>
}

/** Numbers of live handles, their bytes, and live compiled programs. */
export interface Usage {
  readonly handles: number
  readonly bytes: number
  readonly executables: number
}

/**
 * The tensor engine.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
 * import { hostFloat32 } from "sidereal/tensor/TensorProgram"
 * import { TensorRuntime } from "sidereal/tensor/TensorRuntime"
 *
 * const program = Effect.gen(function*() {
 *   const runtime = yield* TensorRuntime
 *   const { x } = yield* Effect.scoped(runtime.place({ x: hostFloat32(Float32Array.of(1, 2), 2) }))
 *   return { released: x.released(), usage: yield* runtime.usage }
 * })
 * const { released, usage } = await Effect.runPromise(program.pipe(Effect.provide(OnnxRuntime.layerCpu())))
 * assert.ok(released)
 * assert.deepEqual(usage, { handles: 0, bytes: 0, executables: 0 })
 * ```
 */
export class TensorRuntime extends Context.Service<TensorRuntime, {
  /** Name of the runtime, such as `onnx-cpu` or `reference`. */
  readonly name: string
  /** Whether outputs stay in device memory; training then keeps weights and optimizer slots there too. */
  readonly resident: boolean
  /** Compiles a program; the executable is released with the Scope. */
  compile<I extends string, O extends string>(
    program: TensorProgram<I, O>
  ): Effect.Effect<Executable<I, O>, TensorError, Scope.Scope>
  /** Copies host tensors to the device; the handles belong to the caller's Scope. */
  place<K extends string>(
    tensors: Readonly<Record<K, HostTensor>>
  ): Effect.Effect<Readonly<Record<K, TensorHandle>>, TensorError, Scope.Scope>
  /** Current usage; all numbers are 0 once every Scope is closed. */
  readonly usage: Effect.Effect<Usage>
}>()("sidereal/tensor/TensorRuntime") {}
