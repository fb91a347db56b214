/**
 * What goes wrong with a run directory.
 */
import * as Schema from "effect/Schema"

/** A directory that is not a run. */
export class NoRun extends Schema.TaggedError<NoRun>()("NoRun", { path: Schema.String }) {
  override get message() {
    return `${this.path} is not a run (it has no readable manifest.json); \`sidereal demo --run ${this.path}\` makes one`
  }
}

/** A phase that has left no complete checkpoint. */
export class NoCheckpoint extends Schema.TaggedError<NoCheckpoint>()("NoCheckpoint", {
  path: Schema.String,
  kind: Schema.String
}) {
  override get message() {
    return `${this.path} has no complete ${this.kind} checkpoint; run \`sidereal ${this.kind} --run ${this.path}\` first`
  }
}

/** A file whose content is not what was written. */
export class Corrupt extends Schema.TaggedError<Corrupt>()("Corrupt", {
  file: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `${this.file} is damaged: expected ${this.expected}, found ${this.found}; delete its folder to fall back on an older one`
  }
}

/** A run that was made with other settings than those asked for now. */
export class OtherSettings extends Schema.TaggedError<OtherSettings>()("OtherSettings", {
  path: Schema.String,
  field: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `${this.path} was made with ${this.field} ${this.expected}, not ${this.found}; use another --run directory or the old settings`
  }
}

/** A file operation that failed. */
export class Storage extends Schema.TaggedError<Storage>()("Storage", {
  path: Schema.String,
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `cannot ${this.operation} ${this.path}: ${this.detail}`
  }
}

/** Every way in which a run directory fails. */
export class RunError extends Schema.TaggedError<RunError>()("RunError", {
  reason: Schema.Union([NoRun, NoCheckpoint, Corrupt, OtherSettings, Storage])
}) {
  override get message() {
    return this.reason.message
  }
}
