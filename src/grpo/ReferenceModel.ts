/**
 * The reference policy that GRPO is held close to.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type CandidateGroup, type GroupLogProbs, PolicyModel } from "../policy/PolicyModel.ts"
import { type TensorError } from "../tensor/TensorError.ts"

/** Log-probabilities under the reference. */
export class ReferenceModel extends Context.Service<ReferenceModel, {
  score(groups: ReadonlyArray<CandidateGroup>): Effect.Effect<GroupLogProbs, TensorError>
}>()("sidereal/grpo/ReferenceModel") {
  /** A copy of the policy's weights at the time the layer is built; it never changes. */
  static readonly layerFrozen: Layer.Layer<ReferenceModel, TensorError, PolicyModel> = Layer.effect(
    ReferenceModel,
    Effect.gen(function*() {
      const policy = yield* PolicyModel
      const copy = yield* policy.parameters.snapshot("weights")
      return ReferenceModel.of({ score: (groups) => policy.score(groups, copy.feeds) })
    })
  )
}
