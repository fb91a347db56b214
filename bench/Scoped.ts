/**
 * Scopes that a benchmark keeps open between its repeats.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

/** Builds a layer and keeps it open until `close`. */
export const open = async <R, E>(layer: Layer.Layer<R, E>) => {
  const scope = await Effect.runPromise(Scope.make())
  const context: Context.Context<R> = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  return {
    run: <A, E2>(effect: Effect.Effect<A, E2, R | Scope.Scope>): Promise<A> =>
      Effect.runPromise(effect.pipe(Effect.provideContext(context), Effect.provideService(Scope.Scope, scope))),
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
