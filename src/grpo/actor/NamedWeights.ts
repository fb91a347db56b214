/**
 * Weights by name, in the process of the actor that answers a message.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type Weights } from "../../optimizer/ParameterStore.ts"
import { PublishedWeights } from "../../policy/PublishedWeights.ts"
import { OfferedWeights } from "./OfferedWeights.ts"
import { WeightsGone, type WeightsName } from "./WeightsName.ts"

/** Source of weights by name, pinned until the Scope closes; fails with `WeightsGone` if they are no longer offered. */
export class NamedWeights extends Context.Service<NamedWeights, {
  pin(name: WeightsName): Effect.Effect<Weights, WeightsGone, Scope.Scope>
}>()("sidereal/grpo/NamedWeights") {
  /** Provides weights that this process offers; the driver offers them until its message is answered. */
  static readonly layerLocal: Layer.Layer<NamedWeights, never, OfferedWeights> = Layer.effect(
    NamedWeights,
    Effect.map(OfferedWeights, (offered) =>
      NamedWeights.of({
        pin: (name) =>
          Effect.flatMap(
            offered.find(name),
            (found) => found === undefined ? Effect.fail(new WeightsGone({ ...name })) : Effect.succeed(found.weights)
          )
      }))
  )
}

const Asked = Context.Reference<Weights | undefined>("sidereal/grpo/NamedWeights/Asked", {
  defaultValue: () => undefined
})

/** Runs the answer to a message with `weights` as the published weights of `layerPublished`. */
export const answering = (weights: Weights) => Effect.provideService(Asked, weights)

/**
 * Published weights of an actor that answers messages: the weights of the message being answered, so that an answer
 * depends on the message alone. Reading them outside `answering` is a defect.
 */
export const layerPublished: Layer.Layer<PublishedWeights> = Layer.sync(PublishedWeights, () => {
  const asked = (version: number) =>
    Effect.filterOrElse(
      Asked,
      (weights): weights is Weights => weights !== undefined && weights.version >= version,
      () => Effect.die(new Error("an actor reads the weights that its message names, and no others"))
    )
  return PublishedWeights.of({
    current: asked(0),
    atLeast: asked,
    publish: () => Effect.die(new Error("an actor publishes no weights: the learner does"))
  })
})
