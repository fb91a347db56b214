/**
 * The tagged error of rollout actors, with its reasons.
 */
import * as Schema from "effect/Schema"
import { DecoderError } from "../decode/DecoderError.ts"
import { ScorerError } from "../evaluation/baseline/ScorerError.ts"
import { PolicyError } from "../policy/PolicyError.ts"

/** A rollout actor that could not be reached or that failed. */
export class ActorFailed extends Schema.TaggedError<ActorFailed>()("ActorFailed", {
  step: Schema.Int,
  detail: Schema.String
}) {
  override get message() {
    return `the rollouts of step ${this.step} failed: ${this.detail}`
  }
}

/** Failure of rollouts; `reason` says which. */
export class RolloutError extends Schema.TaggedError<RolloutError>()("RolloutError", {
  reason: Schema.Union([DecoderError, PolicyError, ScorerError, ActorFailed])
}) {
  override get message() {
    return this.reason.message
  }
}
