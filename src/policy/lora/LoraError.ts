/**
 * The tagged error of adapters, with its reasons.
 */
import * as Schema from "effect/Schema"

const listed = (problems: ReadonlyArray<string>) => problems.map((problem) => `\n  - ${problem}`).join("")

/** A file of an adapter's folder that cannot be read. */
export class UnreadableAdapter extends Schema.TaggedError<UnreadableAdapter>()("UnreadableAdapter", {
  file: Schema.String,
  detail: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `cannot read ${this.file}: ${this.detail}; ${this.remedy}`
  }
}

/** An adapter that does not match its configuration or its base, or has an option without support. */
export class InvalidAdapter extends Schema.TaggedError<InvalidAdapter>()("InvalidAdapter", {
  /** File, or a description of tensors in memory. */
  source: Schema.String,
  /** Every problem, with its remedy. */
  problems: Schema.Array(Schema.String)
}) {
  override get message() {
    return `${this.source} is not a usable LoRA adapter:${listed(this.problems)}`
  }
}

/** Failure of an operation on adapters; `reason` says which. */
export class LoraError extends Schema.TaggedError<LoraError>()("LoraError", {
  reason: Schema.Union([UnreadableAdapter, InvalidAdapter])
}) {
  override get message() {
    return this.reason.message
  }
}
