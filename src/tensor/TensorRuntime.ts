/**
 * Compiles tensor programs once and runs them many times; owns the memory of the device.
 *
 * A runtime is a Layer: `OnnxRuntime.layerCpu` compiles, `Reference.layer` interprets on tfjs's JavaScript backend and
 * is the oracle of the tests. Handles live as long as the Scope that made them.
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
  /** The values, without a copy where the backend allows it; fails with `UseAfterRelease`. */
  readonly read: Effect.Effect<HostTensor, TensorError>
  /** Whether its Scope is closed. */
  readonly released: () => boolean
}

/** What can be fed to a program. */
export type Feed = HostTensor | TensorHandle

/** Whether a feed is a handle of a runtime. */
export const isHandle = (feed: Feed): feed is TensorHandle => "read" in feed

/** A compiled program. */
export interface Executable<I extends string, O extends string> {
  readonly name: string
  /** Nodes of the compiled graph, 0 for an eager runtime. */
  readonly nodes: number
  /** Milliseconds spent compiling. */
  readonly compileMillis: number
  /**
   * Runs the program. Outputs named in `into` are written to the given arrays (no allocation, no copy where the backend
   * allows it); every output comes back as a handle of the caller's Scope.
   */
  run(
    feeds: Readonly<Record<I, Feed>>,
    into?: Readonly<Partial<Record<O, Float32Array>>>
  ): Effect.Effect<Readonly<Record<O, TensorHandle>>, TensorError, Scope.Scope>
}

/** Counts of what is alive: handles, their bytes, and compiled programs. */
export interface Usage {
  readonly handles: number
  readonly bytes: number
  readonly executables: number
}

/** The tensor engine. */
export class TensorRuntime extends Context.Service<TensorRuntime, {
  /** `onnx-cpu`, `reference` ... */
  readonly name: string
  /** Outputs stay in the memory of a device: training then keeps weights and optimizer slots there too. */
  readonly resident: boolean
  /** Compiles a program; the executable is released with the Scope. */
  compile<I extends string, O extends string>(
    program: TensorProgram<I, O>
  ): Effect.Effect<Executable<I, O>, TensorError, Scope.Scope>
  /** Copies host tensors to where programs run; the handles belong to the caller's Scope. */
  place<K extends string>(
    tensors: Readonly<Record<K, HostTensor>>
  ): Effect.Effect<Readonly<Record<K, TensorHandle>>, TensorError, Scope.Scope>
  /** What is alive now; zero again once every Scope is closed. */
  readonly usage: Effect.Effect<Usage>
}>()("sidereal/tensor/TensorRuntime") {}
