/**
 * Service that scores candidates under the reference policy, from which GRPO penalises divergence.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type StoreState } from "../optimizer/OptimizerSlots.ts"
import { type PolicyError } from "../policy/PolicyError.ts"
import { type CandidateGroup, PolicyModel, type TreeLogProbs } from "../policy/PolicyModel.ts"
import { PolicyParameters } from "../policy/PolicyParameters.ts"
import { type TensorError } from "../tensor/TensorError.ts"

/** Scorer of candidate trees under the reference policy. */
export class ReferenceModel extends Context.Service<ReferenceModel, {
  /** Returns the log-probabilities of each group's tree, in the order of the groups. */
  score(groups: ReadonlyArray<CandidateGroup>): Effect.Effect<ReadonlyArray<TreeLogProbs>, PolicyError>
  /** Updates the reference from the policy after step `step`; a frozen reference does nothing. */
  sync(step: number): Effect.Effect<void, TensorError>
  /** State to store in a checkpoint; none where the reference can be rebuilt without it. */
  readonly save: Effect.Effect<Option.Option<StoreState>, TensorError>
  /** Restores the state that `save` returned. */
  restore(state: StoreState): Effect.Effect<void, TensorError>
}>()("sidereal/grpo/ReferenceModel") {
  /** A fixed copy of the policy's averaged weights, taken when the layer is built. */
  static readonly layerFrozen: Layer.Layer<ReferenceModel, TensorError, PolicyModel | PolicyParameters> = Layer.effect(
    ReferenceModel,
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const copy = yield* (yield* PolicyParameters).snapshot("average")
      return ReferenceModel.of({
        score: (groups) => policy.score(groups, copy),
        sync: () => Effect.void,
        save: Effect.succeed(Option.none()),
        restore: () => Effect.void
      })
    })
  )
}
