/**
 * The one error of learners, with the reason inside.
 */
import * as Schema from "effect/Schema"
import { PolicyError } from "../policy/PolicyError.ts"
import { TensorError } from "../tensor/TensorError.ts"

/** Every way in which a step fails. */
export class LearnerError extends Schema.TaggedError<LearnerError>()("LearnerError", {
  reason: Schema.Union([PolicyError, TensorError])
}) {
  override get message() {
    return this.reason.message
  }
}
