/**
 * The one error of scorers.
 */
import * as Schema from "effect/Schema"

/** A scorer that could not answer. */
export class ScorerError extends Schema.TaggedError<ScorerError>()("ScorerError", {
  scorer: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the scorer "${this.scorer}" failed: ${this.detail}`
  }
}
