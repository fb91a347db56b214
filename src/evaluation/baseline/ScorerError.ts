/**
 * The tagged error of scorers.
 */
import * as Schema from "effect/Schema"

/** Failure of a scorer. */
export class ScorerError extends Schema.TaggedError<ScorerError>()("ScorerError", {
  scorer: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the scorer "${this.scorer}" failed: ${this.detail}`
  }
}
