/**
 * The error of settings, from whichever source.
 */
import * as Schema from "effect/Schema"

/** Unusable settings. */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  source: Schema.String,
  problems: Schema.Array(Schema.String)
}) {
  override get message() {
    return `${this.source} has settings that cannot be used:\n${
      this.problems.map((problem) => `  - ${problem}`).join("\n")
    }`
  }
}
