/**
 * The reference policy that GRPO is held close to.
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

/** Log-probabilities under the reference. */
export class ReferenceModel extends Context.Service<ReferenceModel, {
  score(groups: ReadonlyArray<CandidateGroup>): Effect.Effect<ReadonlyArray<TreeLogProbs>, PolicyError>
  /** Follows the policy after a step, where the reference does. */
  sync(step: number): Effect.Effect<void, TensorError>
  /** What a checkpoint must keep of it; nothing where it can be made again. */
  readonly save: Effect.Effect<Option.Option<StoreState>, TensorError>
  restore(state: StoreState): Effect.Effect<void, TensorError>
}>()("sidereal/grpo/ReferenceModel") {
  /** A copy of what the policy is evaluated with when the layer is built; it never changes. */
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
