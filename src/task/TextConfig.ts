/**
 * Settings of a text policy with those of its tasks.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { TextPolicyConfig } from "../policy/text/TextPolicyConfig.ts"
import { TasksConfig } from "./Tasks.ts"

/** Settings of a text policy and its tasks. */
export class TextConfig extends TextPolicyConfig.extend<TextConfig>("sidereal/task/TextConfig")({
  /** Tasks of supervised training, and the wording of prompts. */
  tasks: TasksConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
}) {}
