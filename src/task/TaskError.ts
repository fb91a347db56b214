/**
 * The tagged error of text tasks, with its reasons.
 */
import * as Schema from "effect/Schema"

/** A task without a template. */
export class UnknownTask extends Schema.TaggedError<UnknownTask>()("UnknownTask", {
  task: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    return `there is no task "${this.task}"; the tasks are ${this.known.join(", ")}`
  }
}

/** Tasks of which none can be trained. */
export class NoTaskRows extends Schema.TaggedError<NoTaskRows>()("NoTaskRows", {
  tasks: Schema.Array(Schema.String)
}) {
  override get message() {
    return `no example can be made for the tasks ${
      this.tasks.join(", ")
    }; set their weight to 0, or give the data that ` +
      "they read: sequences of two items, titles, descriptions, or a file of preferences"
  }
}

/** An entry of a file of preferences that cannot be used. */
export class BadPreference extends Schema.TaggedError<BadPreference>()("BadPreference", {
  file: Schema.String,
  /** Number of the entry, from 1; 0 for the whole file. */
  entry: Schema.Int,
  field: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `${this.file}, entry ${this.entry}: ${this.field} is ${this.found}; an entry is ` +
      "{ user, split, user_preference, context: { history_items, target_item } } with items of the catalogue, " +
      "in a JSON array or one a line"
  }
}

/** Failure of text tasks; `reason` says which. */
export class TaskError extends Schema.TaggedError<TaskError>()("TaskError", {
  reason: Schema.Union([UnknownTask, NoTaskRows, BadPreference])
}) {
  override get message() {
    return this.reason.message
  }
}
