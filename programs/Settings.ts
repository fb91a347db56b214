/**
 * Everything that can be set in a run, with its defaults: one JSON file (`--config`) or the manifest of a run.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { FilterConfig } from "../src/catalog/Assemble.ts"
import { ShopConfig } from "../src/catalog/shop/Shop.ts"
import { SplitConfig } from "../src/catalog/Split.ts"
import { FusionConfig } from "../src/embedding/Fusion.ts"
import { LsaConfig } from "../src/embedding/Lsa.ts"
import { GrpoConfig } from "../src/grpo/Grpo.ts"
import { FlatPolicyConfig } from "../src/policy/flat/FlatPolicy.ts"
import { SftConfig } from "../src/sft/Sft.ts"
import { defaultEncoder, EncoderConfig } from "./Encoders.ts"
import { TokenizerConfig } from "./Quantizers.ts"

/** How models are compared. */
export class EvaluationConfig extends Schema.Class<EvaluationConfig>("sidereal/programs/EvaluationConfig")({
  /** Beams of the final search. @default 50 */
  beams: Schema.Int.check(Schema.isGreaterThanOrEqualTo(20)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(50))
  ),
  /** Leaves items of the history out of every list. @default true */
  historyExcluded: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true)))
}) {}

/** The settings of a run. */
export class Settings extends Schema.Class<Settings>("sidereal/programs/Settings")({
  /** File or folder of the data; the generated shop when absent. */
  data: Schema.optionalKey(Schema.String),
  /** Minimum events of users and items; by default what the data's form suggests. */
  core: Schema.optionalKey(Schema.Int),
  filter: FilterConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  split: SplitConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** The first row that cannot be used is an error. @default false */
  strict: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  /** Everything random follows from it. @default 1 */
  seed: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  shop: ShopConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  encoder: EncoderConfig.pipe(Schema.withDecodingDefaultKey(defaultEncoder)),
  fusion: FusionConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  lsa: LsaConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  tokenizer: TokenizerConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  policy: FlatPolicyConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  sft: SftConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  grpo: GrpoConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  evaluation: EvaluationConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
}) {}

/** A part of the settings as a file has them, before defaults. */
export type PartialSettings = typeof Settings.Encoded

/** Settings that cannot be used. */
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

const valueAt = (value: unknown, path: ReadonlyArray<unknown>): unknown =>
  path.reduce<unknown>(
    (at, key) => (typeof at === "object" && at !== null ? (at as Record<string, unknown>)[String(key)] : undefined),
    value
  )

/** Fills in the defaults; every problem is named with its field, its value and what is expected. */
export const decode = (
  partial: unknown,
  source: string
): Effect.Effect<Settings, SettingsError> =>
  Schema.decodeUnknownEffect(Settings, { errors: "all", onExcessProperty: "error" })(partial).pipe(
    Effect.mapError((error) => new SettingsError({ source, problems: problems(error.issue, partial) }))
  )

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const problems = (issue: SchemaIssue.Issue, given: unknown): ReadonlyArray<string> =>
  format(issue).issues.map(({ message, path = [] }) => {
    const keys = path.map((part) => (typeof part === "object" ? part.key : part))
    const value = JSON.stringify(valueAt(given, keys))
    return `${keys.map(String).join(".") || "(whole file)"}: ${message}${value === undefined ? "" : `, got ${value}`}`
  })

/** A demo that ends in seconds: a small shop, a narrow policy, few steps. For trying things out and for checks. */
export const quick: PartialSettings = {
  shop: { users: 200, items: 120 },
  lsa: { width: 32 },
  policy: { width: 64, layers: 2, heads: 4, keyValueHeads: 2, feedForward: 128, dropout: 0.1 },
  sft: {
    epochs: 3,
    epochsPerValidation: 1,
    validationUsers: 100,
    learningRate: { peak: 3e-3, warmupSteps: 10, floor: 0.05 }
  },
  grpo: { steps: 4, promptsPerStep: 16, groupSize: 8, stepsPerValidation: 2, validationUsers: 100 }
}

/** Later settings win, field by field. */
export const merge = (...parts: ReadonlyArray<Readonly<Record<string, unknown>>>): Record<string, unknown> => {
  const out: Record<string, unknown> = {}
  for (const part of parts) {
    for (const [key, value] of Object.entries(part)) {
      if (value === undefined) continue
      const before = out[key]
      const isObject = (x: unknown): x is Record<string, unknown> =>
        typeof x === "object" && x !== null && !Array.isArray(x)
      out[key] = isObject(before) && isObject(value) ? merge(before, value) : value
    }
  }
  return out
}
