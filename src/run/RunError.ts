/**
 * What goes wrong with a run directory.
 */
import * as Schema from "effect/Schema"

/** A directory that is not a run. */
export class NoRun extends Schema.TaggedError<NoRun>()("NoRun", {
  path: Schema.String,
  /** What is there instead. */
  found: Schema.String
}) {
  override get message() {
    const remedy = this.found === "nothing" || this.found === "an empty folder"
      ? `\`sidereal demo --run ${this.path}\` makes one`
      : "name the folder of a run with --run"
    return `${this.path} is not a run (there is ${this.found}); ${remedy}`
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
  found: Schema.String,
  /** @default what helps with a checkpoint */
  remedy: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const { remedy = "delete its folder to fall back on an older one" } = this
    return `${this.file} is damaged: expected ${this.expected}, found ${this.found}; ${remedy}`
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
    return `${this.path} was made with ${this.field} ${this.expected}, not ${this.found}; use another --run directory, the old value, or --fresh to begin the run again`
  }
}

/** Less training asked for than the run has done. */
export class DoneAlready extends Schema.TaggedError<DoneAlready>()("DoneAlready", {
  path: Schema.String,
  field: Schema.String,
  done: Schema.Int,
  asked: Schema.Int
}) {
  override get message() {
    return `${this.path} has done ${this.done} of ${this.field}, more than the ${this.asked} asked for; ask for at least ${this.done}, or use another --run directory`
  }
}

/** A folder with files that no run made: nothing is written there and nothing removed. */
export class NotOurs extends Schema.TaggedError<NotOurs>()("NotOurs", {
  path: Schema.String,
  found: Schema.String,
  /** Whether it was to be removed. */
  fresh: Schema.Boolean
}) {
  override get message() {
    const name = this.path.split(/[/\\]/).findLast((part) => /[^.]/.test(part)) ?? "mine"
    return this.fresh
      ? `${this.path} is no run (it has no manifest.json of sidereal, but ${this.found}); --fresh removes runs only`
      : `${this.path} holds files that are no run's (${this.found}); give the run a folder of its own, such as --run runs/${name}`
  }
}

/** A run's folder that would hold the data. */
export class HoldsData extends Schema.TaggedError<HoldsData>()("HoldsData", {
  path: Schema.String,
  data: Schema.String
}) {
  override get message() {
    return `the data ${this.data} lie in the folder of the run, ${this.path}; give the run a folder of its own, such as --run runs/mine`
  }
}

/** A run that another process works on. */
export class InUse extends Schema.TaggedError<InUse>()("InUse", {
  path: Schema.String,
  pid: Schema.Int,
  host: Schema.String,
  since: Schema.String,
  command: Schema.String,
  /** The lock, where nobody here can tell whether its process still is. */
  foreignLock: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const remedy = this.foreignLock === undefined
      ? "wait until it has ended, or use another --run directory"
      : `if that process is gone, remove ${this.foreignLock}`
    return `${this.path} is in use by process ${this.pid} (${this.host}, since ${this.since}: ${this.command}); ${remedy}`
  }
}

/** Data that are not what the run was made from any more. */
export class DataChanged extends Schema.TaggedError<DataChanged>()("DataChanged", {
  path: Schema.String,
  files: Schema.Array(Schema.String)
}) {
  override get message() {
    const [first, ...others] = this.files
    const more = others.length === 0 ? "" : ` and ${others.length} more file(s) of the data`
    return `${first}${more} ${
      others.length === 0 ? "has" : "have"
    } changed since ${this.path} was made, which keeps what it read then; --fresh reads it anew`
  }
}

/** An artefact that a command which only reads would have to make. */
export class NoArtefact extends Schema.TaggedError<NoArtefact>()("NoArtefact", {
  path: Schema.String,
  file: Schema.String,
  /** The command that makes it. @default sft */
  command: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return `${this.path} has no ${this.file}; run \`sidereal ${this.command ?? "sft"} --run ${this.path}\` first`
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
  reason: Schema.Union([
    NoRun,
    NoCheckpoint,
    NoArtefact,
    Corrupt,
    OtherSettings,
    DoneAlready,
    NotOurs,
    HoldsData,
    InUse,
    DataChanged,
    Storage
  ])
}) {
  override get message() {
    return this.reason.message
  }
}
