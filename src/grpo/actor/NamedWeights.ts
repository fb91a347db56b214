/**
 * The weights that a message names, on the side that answers it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type Weights } from "../../optimizer/ParameterStore.ts"
import { PublishedWeights } from "../../policy/PublishedWeights.ts"
import { OfferedWeights } from "./OfferedWeights.ts"
import { WeightsGone, type WeightsName } from "./WeightsName.ts"

/** Weights by name, pinned until the Scope closes. */
export class NamedWeights extends Context.Service<NamedWeights, {
  pin(name: WeightsName): Effect.Effect<Weights, WeightsGone, Scope.Scope>
}>()("sidereal/grpo/NamedWeights") {
  /** Those that this process offers, which whoever asks keeps on offer until it is answered. */
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

/** Answers a message with the weights that it names: they are the published ones of `layerPublished` meanwhile. */
export const answering = (weights: Weights) => Effect.provideService(Asked, weights)

/**
 * Published weights of an actor that answers messages: those that the message being answered names, so that an answer
 * depends on the message alone. Outside `answering` there are none, and asking for them is a defect.
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
