/**
 * The tagged error of Hugging Face checkpoints, with its reasons.
 */
import * as Schema from "effect/Schema"
import { Storage } from "../../run/RunError.ts"

/** A setting of config.json that the decoder does not have. */
export class UnsupportedSetting extends Schema.TaggedError<UnsupportedSetting>()("UnsupportedSetting", {
  file: Schema.String,
  field: Schema.String,
  /** Value as JSON. */
  value: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.file}: ${this.field} ${this.value} is not supported; ${this.remedy}`
  }
}

/** A setting of config.json that is missing or has no possible value. */
export class InvalidSetting extends Schema.TaggedError<InvalidSetting>()("InvalidSetting", {
  file: Schema.String,
  field: Schema.String,
  /** Value as JSON, or "nothing". */
  value: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `${this.file}: ${this.field} is ${this.value}, expected ${this.expected}; ` +
      "correct it, or copy the file of the original model again"
  }
}

/** A file of a checkpoint that is missing, damaged or not of its format. */
export class BadFile extends Schema.TaggedError<BadFile>()("BadFile", {
  file: Schema.String,
  detail: Schema.String,
  /** @default copy the file again */
  remedy: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return `${this.file} ${this.detail}; ${this.remedy ?? "copy the file of the original model again"}`
  }
}

/** A tensor of another shape or type than the configuration says. */
export const WrongTensor = Schema.Struct({ name: Schema.String, expected: Schema.String, found: Schema.String })

/** Tensors that are not those of the configuration: all missing, unknown and wrong ones. */
export class OtherTensors extends Schema.TaggedError<OtherTensors>()("OtherTensors", {
  path: Schema.String,
  missing: Schema.Array(Schema.String),
  unknown: Schema.Array(Schema.String),
  wrong: Schema.Array(WrongTensor)
}) {
  override get message() {
    const { missing, path, unknown, wrong } = this
    const parts = [
      missing.length === 0 ? "" : `missing: ${missing.join(", ")}`,
      unknown.length === 0 ? "" : `unknown: ${unknown.join(", ")}`,
      wrong.length === 0
        ? ""
        : `wrong: ${wrong.map(({ expected, found, name }) => `${name} is ${found}, expected ${expected}`).join(", ")}`
    ].filter((part) => part !== "")
    return `the tensors of ${path} are not those of its configuration; ${parts.join("; ")}; ` +
      "use the config.json and the files of one model"
  }
}

/** A weight that is not finite, or too large for the type in which it would be stored. */
export class BadWeight extends Schema.TaggedError<BadWeight>()("BadWeight", {
  file: Schema.String,
  tensor: Schema.String,
  index: Schema.Int,
  value: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.file}: the weight ${this.tensor}[${this.index}] is ${this.value}; ${this.remedy}`
  }
}

/** A folder that already has files. */
export class Occupied extends Schema.TaggedError<Occupied>()("Occupied", {
  path: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `${this.path} already has files (${this.found}); write the checkpoint to a new folder` +
      (this.found.split(", ").includes("config.json") ? ", or replace it" : "")
  }
}

/** Failure of a checkpoint; `reason` says which. */
export class CheckpointError extends Schema.TaggedError<CheckpointError>()("CheckpointError", {
  reason: Schema.Union([UnsupportedSetting, InvalidSetting, BadFile, OtherTensors, BadWeight, Occupied, Storage])
}) {
  override get message() {
    return this.reason.message
  }
}
