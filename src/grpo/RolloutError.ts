/**
 * The one error of rollout actors, with the reason inside.
 */
import * as Schema from "effect/Schema"
import { DecoderError } from "../decode/DecoderError.ts"
import { ScorerError } from "../evaluation/baseline/ScorerError.ts"
import { PolicyError } from "../policy/PolicyError.ts"

/** An actor that could not be reached or gave up. */
export class ActorFailed extends Schema.TaggedError<ActorFailed>()("ActorFailed", {
  step: Schema.Int,
  detail: Schema.String
}) {
  override get message() {
    return `the rollouts of step ${this.step} failed: ${this.detail}`
  }
}

/** Every way in which rollouts fail. */
export class RolloutError extends Schema.TaggedError<RolloutError>()("RolloutError", {
  reason: Schema.Union([DecoderError, PolicyError, ScorerError, ActorFailed])
}) {
  override get message() {
    return this.reason.message
  }
}
