/**
 * Counts the handles of a runtime and hands them out scoped: what every backend shares.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { TensorError, UseAfterRelease } from "./TensorError.ts"
import { type HostTensor } from "./TensorProgram.ts"
import { type TensorHandle, type Usage } from "./TensorRuntime.ts"

/** The ledger of one runtime. */
export class Ledger {
  #handles = 0
  #bytes = 0
  #executables = 0

  /** What is alive now. */
  get usage(): Usage {
    return { handles: this.#handles, bytes: this.#bytes, executables: this.#executables }
  }

  /** A handle that is given back, through `release`, when the caller's Scope closes. */
  handle(
    name: string,
    shape: ReadonlyArray<number>,
    bytes: number,
    read: Effect.Effect<HostTensor, TensorError>,
    release: () => void
  ): Effect.Effect<TensorHandle, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        this.#handles++
        this.#bytes += bytes
        const state = { open: true }
        return {
          state,
          handle: {
            name,
            shape,
            released: () => !state.open,
            read: Effect.suspend(() =>
              state.open
                ? read
                : Effect.fail(new TensorError({ reason: new UseAfterRelease({ handle: name }) }))
            )
          }
        }
      }),
      ({ state }) =>
        Effect.sync(() => {
          state.open = false
          this.#handles--
          this.#bytes -= bytes
          release()
        })
    ).pipe(Effect.map(({ handle }) => handle))
  }

  /** Counts an executable for as long as the caller's Scope is open; the result says whether it still is. */
  executable(): Effect.Effect<() => boolean, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        this.#executables++
        return { open: true }
      }),
      (state) =>
        Effect.sync(() => {
          state.open = false
          this.#executables--
        })
    ).pipe(Effect.map((state) => () => state.open))
  }
}
