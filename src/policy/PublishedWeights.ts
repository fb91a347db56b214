/**
 * The weights that everyone but the learner works with: whole versions, each kept for as long as someone reads it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { type Weights } from "../optimizer/ParameterStore.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import { PolicyParameters } from "./PolicyParameters.ts"

interface Version {
  readonly weights: Weights
  readonly scope: Scope.Closeable
  readers: number
  replaced: boolean
}

/**
 * Published weights.
 *
 * Responsibilities: hands out whole versions and releases one when it was replaced and its last reader is gone. Ordering:
 * versions only grow; readers see the newest one when they ask. Back-pressure: none, a publisher waits for nobody.
 * Completion of `publish` means that the next reader gets the new version. A failure leaves the version before in place.
 */
export class PublishedWeights extends Context.Service<PublishedWeights, {
  /** The newest version, pinned until the Scope closes, whatever is published meanwhile. */
  readonly current: Effect.Effect<Weights, never, Scope.Scope>
  /** Waits for a version that is at least as new, and pins the newest. */
  atLeast(version: number): Effect.Effect<Weights, never, Scope.Scope>
  /** Publishes what `acquire` makes; the version owns the Scope that it is made in. */
  publish<E>(acquire: Effect.Effect<Weights, E, Scope.Scope>): Effect.Effect<void, E>
}>()("sidereal/policy/PublishedWeights") {
  /** Versions in the memory of this process, the first one made by `acquire`. */
  static readonly layerOf = <E, R>(
    acquire: Effect.Effect<Weights, E, R | Scope.Scope>
  ): Layer.Layer<PublishedWeights, E, Exclude<R, Scope.Scope>> =>
    Layer.effect(PublishedWeights, Effect.suspend(() => make(acquire)))

  /** Versions in the memory of this process, the first one a copy of the policy's parameters as they are. */
  static readonly layer: Layer.Layer<PublishedWeights, TensorError, PolicyParameters> = this.layerOf(
    Effect.flatMap(PolicyParameters, (store) => store.snapshot("weights"))
  )
}

const open = <E, R>(acquire: Effect.Effect<Weights, E, R | Scope.Scope>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const weights = yield* acquire.pipe(
      Scope.provide(scope),
      Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit))
    )
    return { weights, scope, readers: 0, replaced: false } as Version
  })

const release = (version: Version) =>
  Effect.suspend(() => version.replaced && version.readers === 0 ? Scope.close(version.scope, Exit.void) : Effect.void)

const make = <E, R>(acquire: Effect.Effect<Weights, E, R | Scope.Scope>) =>
  Effect.gen(function*() {
    const newest = yield* SubscriptionRef.make(yield* open(acquire))
    const replace = (version: Version) =>
      Effect.suspend(() => {
        version.replaced = true
        return release(version)
      })
    yield* Effect.addFinalizer(() => Effect.flatMap(SubscriptionRef.get(newest), replace))
    const current = Effect.acquireRelease(
      Effect.map(SubscriptionRef.get(newest), (version) => {
        version.readers++
        return version
      }),
      (version) =>
        Effect.suspend(() => {
          version.readers--
          return release(version)
        })
    ).pipe(Effect.map(({ weights }) => weights))
    return PublishedWeights.of({
      current,
      atLeast: (version) =>
        SubscriptionRef.changes(newest).pipe(
          Stream.filter(({ weights }) => weights.version >= version),
          Stream.runHead,
          Effect.andThen(current)
        ),
      publish: (acquire) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            const next = yield* restore(open(acquire))
            const before = yield* SubscriptionRef.getAndSet(newest, next)
            yield* replace(before)
          })
        )
    })
  })
