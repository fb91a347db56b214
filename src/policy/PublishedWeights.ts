/**
 * Weights that rollouts and evaluation read: whole versions, each kept until it is replaced and its last reader has
 * released it.
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
 * Responsibilities: provides whole versions and releases a version once it is replaced and its last reader's Scope is
 * closed. Ordering: version numbers only grow; a reader receives the newest version at the time of its call.
 * Back-pressure: none, a publisher does not wait for readers. Completion of `publish` means that the next reader
 * receives the new version. A failed `publish` leaves the previous version in place.
 */
export class PublishedWeights extends Context.Service<PublishedWeights, {
  /** Newest version, kept until the Scope closes even if it is replaced. */
  readonly current: Effect.Effect<Weights, never, Scope.Scope>
  /** Waits until the version is at least `version`, then returns the newest, kept until the Scope closes. */
  atLeast(version: number): Effect.Effect<Weights, never, Scope.Scope>
  /** Publishes the weights that `acquire` returns; the version owns the Scope in which they are acquired. */
  publish<E>(acquire: Effect.Effect<Weights, E, Scope.Scope>): Effect.Effect<void, E>
}>()("sidereal/policy/PublishedWeights") {
  /** Provides versions in the memory of this process, the first one acquired by `acquire`. */
  static readonly layerOf = <E, R>(
    acquire: Effect.Effect<Weights, E, R | Scope.Scope>
  ): Layer.Layer<PublishedWeights, E, Exclude<R, Scope.Scope>> =>
    Layer.effect(PublishedWeights, Effect.suspend(() => make(acquire)))

  /** Provides versions in the memory of this process, the first one a copy of the policy's current parameters. */
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
