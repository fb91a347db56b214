/**
 * The tagged error of run directories, with its reasons.
 */
import * as Schema from "effect/Schema"

/** A directory that is not a run. */
export class NoRun extends Schema.TaggedError<NoRun>()("NoRun", {
  path: Schema.String,
  /** Description of the content of the directory. */
  found: Schema.String
}) {
  override get message() {
    const remedy = this.found === "nothing" || this.found === "an empty folder"
      ? `create one with \`sidereal demo --run ${this.path}\``
      : "pass the folder of a run with --run"
    return `${this.path} is not a run (found ${this.found}); ${remedy}`
  }
}

/** A phase without a complete checkpoint. */
export class NoCheckpoint extends Schema.TaggedError<NoCheckpoint>()("NoCheckpoint", {
  path: Schema.String,
  kind: Schema.String
}) {
  override get message() {
    return `${this.path} has no complete ${this.kind} checkpoint; run \`sidereal ${this.kind} --run ${this.path}\` first`
  }
}

/** A file whose content differs from what was written. */
export class Corrupt extends Schema.TaggedError<Corrupt>()("Corrupt", {
  file: Schema.String,
  expected: Schema.String,
  found: Schema.String,
  /** @default the remedy for a checkpoint */
  remedy: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const { remedy = "delete its folder to use an older checkpoint" } = this
    return `${this.file} is damaged: expected ${this.expected}, found ${this.found}; ${remedy}`
  }
}

/** A run created with other settings than the requested ones. */
export class OtherSettings extends Schema.TaggedError<OtherSettings>()("OtherSettings", {
  path: Schema.String,
  field: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `${this.path} was made with ${this.field} ${this.expected}, not ${this.found}; use another --run directory, the old value, or --fresh to start the run again`
  }
}

/** A request for less training than the run has done. */
export class DoneAlready extends Schema.TaggedError<DoneAlready>()("DoneAlready", {
  path: Schema.String,
  field: Schema.String,
  done: Schema.Int,
  asked: Schema.Int
}) {
  override get message() {
    return `${this.path} has done ${this.done} of ${this.field}, more than the ${this.asked} requested; request at least ${this.done}, or use another --run directory`
  }
}

/** A folder with files that do not belong to a run; nothing is written or removed there. */
export class NotOurs extends Schema.TaggedError<NotOurs>()("NotOurs", {
  path: Schema.String,
  found: Schema.String,
  /** Whether the command would remove the folder (`--fresh`). */
  fresh: Schema.Boolean
}) {
  override get message() {
    const name = this.path.split(/[/\\]/).findLast((part) => /[^.]/.test(part)) ?? "mine"
    return this.fresh
      ? `${this.path} is not a run (it has no manifest.json of sidereal, but ${this.found}); --fresh removes runs only`
      : `${this.path} holds files of something else (${this.found}); give the run its own folder, such as --run runs/${name}`
  }
}

/** A run's folder that contains the data. */
export class HoldsData extends Schema.TaggedError<HoldsData>()("HoldsData", {
  path: Schema.String,
  data: Schema.String
}) {
  override get message() {
    return `the data ${this.data} are inside the folder of the run, ${this.path}; give the run its own folder, such as --run runs/mine`
  }
}

/** A run in use by another process. */
export class InUse extends Schema.TaggedError<InUse>()("InUse", {
  path: Schema.String,
  pid: Schema.Int,
  host: Schema.String,
  since: Schema.String,
  command: Schema.String,
  /** Path of the lock, set when it is from another machine, so that its process cannot be checked. */
  foreignLock: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const remedy = this.foreignLock === undefined
      ? "wait until it ends, or use another --run directory"
      : `if that process has ended, remove ${this.foreignLock}`
    return `${this.path} is in use by process ${this.pid} (${this.host}, since ${this.since}: ${this.command}); ${remedy}`
  }
}

/** Data that changed since the run was created. */
export class DataChanged extends Schema.TaggedError<DataChanged>()("DataChanged", {
  path: Schema.String,
  files: Schema.Array(Schema.String)
}) {
  override get message() {
    const [first, ...others] = this.files
    const more = others.length === 0 ? "" : ` and ${others.length} more file(s) of the data`
    return `${first}${more} ${
      others.length === 0 ? "has" : "have"
    } changed since ${this.path} was created, which keeps its copy; --fresh reads the data again`
  }
}

/** An artefact that a read-only command needs and the run lacks. */
export class NoArtefact extends Schema.TaggedError<NoArtefact>()("NoArtefact", {
  path: Schema.String,
  file: Schema.String,
  /** Command that creates the artefact. @default sft */
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

/** Failure of a run directory; `reason` says which. */
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
