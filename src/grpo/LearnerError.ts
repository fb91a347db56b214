/**
 * The tagged error of learners, with its reasons.
 */
import * as Schema from "effect/Schema"
import { PolicyError } from "../policy/PolicyError.ts"
import { TensorError } from "../tensor/TensorError.ts"

/** Failure of a learner's step; `reason` says which. */
export class LearnerError extends Schema.TaggedError<LearnerError>()("LearnerError", {
  reason: Schema.Union([PolicyError, TensorError])
}) {
  override get message() {
    return this.reason.message
  }
}
