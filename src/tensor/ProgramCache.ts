/**
 * Cache of tensor programs that are compiled at their first use.
 */
import * as Cache from "effect/Cache"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type TensorError } from "./TensorError.ts"
import { type TensorProgram } from "./TensorProgram.ts"
import { type Executable, type TensorRuntime } from "./TensorRuntime.ts"

/** Function that returns the program of a key: compiled once for concurrent callers, and again after a failure. */
export type ProgramCache<Key> = (key: Key) => Effect.Effect<Executable<string, string>, TensorError>

/** Makes a cache whose programs are released when its Scope closes; keys are compared by structure. */
export const make = <Key>(
  runtime: TensorRuntime["Service"],
  programOf: (key: Key) => TensorProgram
): Effect.Effect<ProgramCache<Key>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const cache = yield* Cache.makeWith(
      (key: Key) => Effect.suspend(() => runtime.compile(programOf(key))).pipe(Scope.provide(scope)),
      {
        capacity: Number.POSITIVE_INFINITY,
        timeToLive: (exit) => Exit.isSuccess(exit) ? Duration.infinity : Duration.zero
      }
    )
    return (key) => Cache.get(cache, key)
  })
