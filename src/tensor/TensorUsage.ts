/**
 * Creation and counting of scoped handles, common to all backends.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { TensorError, UseAfterRelease } from "./TensorError.ts"
import { type HostTensor } from "./TensorProgram.ts"
import { type TensorHandle, type Usage } from "./TensorRuntime.ts"

/** Returns the gauge of live tensor bytes allocated by a backend, without parameters and their gradients. */
export const liveBytes = (backend: string): Metric.Gauge<number> =>
  Metric.gauge("sidereal.tensor.bytes", {
    description: "Bytes of live tensors that the runtime allocated",
    attributes: { backend, unit: "By" }
  })

/** Registers a gauge until the Scope closes; its value is read only when metrics are exported. */
export const observe = (gauge: Metric.Gauge<number>, read: () => number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.acquireRelease(
      Effect.sync(() =>
        Metric.registerUnsafe(gauge, context, { get: () => ({ value: read() }), update: () => {}, modify: () => {} })
      ),
      (registration) => Effect.sync(() => registration.remove())
    )
  )

/** Counts of one runtime's live handles and executables. */
export class Ledger {
  #handles = 0
  #bytes = 0
  #executables = 0

  /** Current usage. */
  get usage(): Usage {
    return { handles: this.#handles, bytes: this.#bytes, executables: this.#executables }
  }

  /** Makes a handle of `bytes` bytes that is released when the caller's Scope closes. */
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

  /**
   * Counts an executable while the caller's Scope is open; returns a function that returns whether it is still open.
   */
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
