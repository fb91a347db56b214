/**
 * What goes wrong when texts become embeddings.
 */
import * as Schema from "effect/Schema"

/** No text holds a term that two items share. */
export class NoText extends Schema.TaggedError<NoText>()("NoText", { items: Schema.Int }) {
  override get message() {
    return `none of the ${this.items} item texts shares a word with another one; give the items titles or descriptions`
  }
}

/** Every way in which encoding fails. */
export class EmbeddingError extends Schema.TaggedError<EmbeddingError>()("EmbeddingError", {
  reason: Schema.Union([NoText])
}) {
  override get message() {
    return this.reason.message
  }
}
