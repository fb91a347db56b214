/**
 * Settings of a run with their defaults, from one JSON file (`--config`) or the manifest of the run.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { FilterConfig } from "../src/catalog/Assemble.ts"
import { ShopConfig } from "../src/catalog/shop/Shop.ts"
import { SplitConfig } from "../src/catalog/Split.ts"
import * as BeamSearch from "../src/decode/BeamSearch.ts"
import { FusionConfig } from "../src/embedding/Fusion.ts"
import { LsaConfig } from "../src/embedding/Lsa.ts"
import { conflicts, GrpoConfig } from "../src/grpo/Grpo.ts"
import { FlatPolicyConfig } from "../src/policy/flat/FlatPolicy.ts"
import { ItemPolicyConfig } from "../src/policy/item/ItemPolicyConfig.ts"
import { SftConfig } from "../src/sft/Sft.ts"
import { TextConfig } from "../src/task/TextConfig.ts"
import { defaultEncoder, EncoderConfig } from "./Encoders.ts"
import * as Families from "./Families.ts"
import * as Quantizers from "./Quantizers.ts"
import * as RankingModels from "./RankingModels.ts"
import * as Rewards from "./Rewards.ts"
import { SettingsError } from "./SettingsError.ts"

/** Settings of the evaluation. */
export class EvaluationConfig extends Schema.Class<EvaluationConfig>("sidereal/programs/EvaluationConfig")({
  /** Beams of the final search, 20 to 4,096. @default 50 */
  beams: Schema.Int.check(Schema.isGreaterThanOrEqualTo(20), Schema.isLessThanOrEqualTo(BeamSearch.most)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(50))
  ),
  /** Whether items of the history are excluded from every list, including those of `recommend`. @default true */
  historyExcluded: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
  /** Number of validation users on which the prior's weights and the model of `recommend` are chosen. @default 2000 */
  fusionUsers: Schema.Int.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(2000))),
  /** Weights of the prior that are compared, each above 0. @default [0.25, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 6] */
  fusionWeights: Schema.NonEmptyArray(Schema.Finite.check(Schema.isGreaterThan(0))).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed([0.25, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 6] as const))
  ),
  /** Scorer that stands beside the policies as a prior. @default item-knn */
  prior: Schema.Literals(RankingModels.priors).pipe(Schema.withDecodingDefaultKey(Effect.succeed("item-knn" as const))),
  /** Rows beside popularity and ItemKNN, of models that are trained once per run; a prior is a row too. @default none */
  baselines: Schema.Array(Schema.Literals(["sasrec"])).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))
}) {}

type Found = ReadonlyArray<Schema.FilterIssue>

const problem = (field: string, issue: string): Found => [{ path: field.split("."), issue }]

/** Suggests the most similar name. */
const nearest = (name: string, names: ReadonlyArray<string>): string | undefined => {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, j) => j)
    for (let i = 1; i <= a.length; i++) {
      const next = [i]
      for (let j = 1; j <= b.length; j++) {
        next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
      }
      row = next
    }
    return row[b.length]!
  }
  const [best] = names.map((known) => ({ known, away: distance(name.toLowerCase(), known.toLowerCase()) }))
    .toSorted((a, b) => a.away - b.away)
  return best !== undefined && best.away <= Math.max(2, name.length / 3) ? best.known : undefined
}

const didYouMean = (name: string, names: ReadonlyArray<string>): string => {
  const meant = nearest(name, names)
  return meant === undefined ? `known are ${names.join(", ")}` : `did you mean ${meant}?`
}

const largestWeight = 1e6
const noReward = "Expected the name of a reward"

/** Checks of settings that involve several fields. */
const combinations = ({ base, data, family, filter, grpo, lsa, policy, shop, split, text }: {
  readonly base?: string
  readonly data?: string
  readonly family: string
  readonly filter: FilterConfig
  readonly grpo: GrpoConfig
  readonly lsa: LsaConfig
  readonly policy: FlatPolicyConfig
  readonly shop: ShopConfig
  readonly split: SplitConfig
  readonly text?: TextConfig
}): Found => {
  const { complement, earlierComplement, taste, popularity, chance } = shop
  return [
    ...(data === "" ? problem("data", "Expected a path") : []),
    ...(base === "" || (base === undefined && policy.lora !== undefined)
      ? problem("base", "Expected the folder of a run, whose weights are the frozen base of policy.lora")
      : []),
    ...(policy.lora !== undefined && family !== "flat"
      ? problem("family", "Expected flat, the family of policy.lora")
      : []),
    ...(family === "text" && text === undefined
      ? problem("text.folder", "Expected the folder of a model, which the text family needs")
      : []),
    ...(filter.from !== undefined && filter.to !== undefined && filter.from > filter.to
      ? problem("filter.from", `Expected a time not after filter.to, ${filter.to}`)
      : []),
    ...(data === undefined && split.kind === "given"
      ? problem("split.kind", "Expected leave-one-out or chronological: the generated shop brings no split along")
      : []),
    ...(shop.meanExtraEvents < 0 ? problem("shop.meanExtraEvents", "Expected a value greater than or equal to 0") : []),
    ...(complement + earlierComplement + taste + popularity + chance === 0
      ? problem("shop", "Expected a share above 0 among complement, earlierComplement, taste, popularity and chance")
      : []),
    ...(lsa.maximumShare > 0 && lsa.maximumShare <= 1
      ? []
      : problem("lsa.maximumShare", "Expected a value above 0 and at most 1")),
    ...(data === undefined && grpo.groupSize > shop.items
      ? problem("grpo.groupSize", `Expected at most the ${shop.items} items of the shop`)
      : []),
    ...conflicts(grpo).flatMap(({ field, issue }) => problem(`grpo.${field}`, issue)),
    ...Object.entries(grpo.rewards).flatMap(([name, weight]): Found =>
      !Rewards.names.includes(name)
        ? [{
          path: ["grpo", "rewards", name],
          issue: noReward
        }]
        : Math.abs(weight) > largestWeight
        ? [{
          path: ["grpo", "rewards", name],
          issue: `Expected a weight between -${largestWeight} and ${largestWeight}`
        }]
        : []
    )
  ]
}

/** Settings of a run. */
export class Settings extends Schema.Class<Settings>("sidereal/programs/Settings")(
  Schema.Struct({
    /** File or folder of the data. @default the generated shop */
    data: Schema.optionalKey(Schema.String),
    /** Minimum numbers of events of users and items. @default those suggested by the data's format */
    core: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
    filter: FilterConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    split: SplitConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    /** Whether the first unusable row is an error. @default false */
    strict: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
    /** Seed of every random draw. @default 1 */
    seed: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
    shop: ShopConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    encoder: EncoderConfig.pipe(Schema.withDecodingDefaultKey(defaultEncoder)),
    fusion: FusionConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    lsa: LsaConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    tokenizer: Quantizers.TokenizerConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    /**
     * Folder of another run over the same SIDs, from whose supervised weights `sft` starts; they are the frozen base of
     * `policy.lora`, which needs one.
     * @default initial weights drawn from the seed
     */
    base: Schema.optionalKey(Schema.String),
    /** Family of the policy. @default that of the recipe, of which a new run records a copy */
    family: Schema.Literals(Families.families).pipe(Schema.withDecodingDefaultKey(Effect.succeed("flat" as const))),
    /** Settings of the flat family. */
    policy: FlatPolicyConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    /** Settings of the families with one position per item: item and parallel. */
    item: ItemPolicyConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    /** Settings of the text family and its tasks. @default none, for the other families */
    text: Schema.optionalKey(TextConfig),
    sft: SftConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    grpo: GrpoConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    evaluation: EvaluationConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
  }).check(Schema.makeFilter(combinations))
) {}

/** Part of the settings as in a file, before defaults. */
export type PartialSettings = typeof Settings.Encoded

/** Settings with their source, which messages name. */
export interface Part {
  readonly source: string
  readonly settings: unknown
}

const valueAt = (value: unknown, path: ReadonlyArray<unknown>): unknown =>
  path.reduce<unknown>(
    (at, key) =>
      typeof at === "object" && at !== null && Object.hasOwn(at, String(key))
        ? (at as Record<string, unknown>)[String(key)]
        : undefined,
    value
  )

/** Returns whether a value is an object of settings. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const longest = 200

/** Formats a value as JSON, cut if it is long; NaN and infinities by their names. */
export const shown = (value: unknown): string => {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value)
  const text = JSON.stringify(value)
  return text.length > longest ? `${text.slice(0, longest)} ...` : text
}

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const defaultAt = (path: ReadonlyArray<string>): unknown => valueAt(Schema.decodeSync(Settings)({}), path)

/** Describes a problem of a field: the expected and actual value, and the most similar name. */
const described = (message: string, keys: ReadonlyArray<string>, value: unknown): string => {
  const name = keys.at(-1) ?? ""
  if (message.includes("excess property")) {
    // At the top level there are settings without a default, too.
    const known = keys.length === 1
      ? Settings.fields
      : valueAt(Schema.decodeSync(Settings)({ text: { folder: "." } }), keys.slice(0, -1)) ?? {}
    return `there is no such setting; ${didYouMean(name, Object.keys(known))}`
  }
  if (message === noReward) return `${message}; ${didYouMean(name, Rewards.names)}`
  const fallback = value === undefined ? defaultAt(keys) : undefined
  // Integers that a number cannot represent exactly are rejected, too.
  const expected = message === "Expected an integer" && Number.isInteger(value)
    ? `${message} of at most ${Number.MAX_SAFE_INTEGER}`
    : message
  const got = value !== undefined
    ? `, got ${shown(value)}`
    : fallback === undefined || isRecord(fallback)
    ? ""
    : `, got the default ${shown(fallback)}`
  const known = typeof value === "string" ? Array.from(message.matchAll(/"([^"]+)"(?=$| \|)/g), ([, one]) => one!) : []
  const meant = typeof value === "string" ? nearest(value, known) : undefined
  return `${expected}${got}${meant === undefined ? "" : `; did you mean ${meant}?`}`
}

/** Decodes settings with defaults; an error names each problem's field, value, expected value and source. */
export const decodeParts = (parts: ReadonlyArray<Part>): Effect.Effect<Settings, SettingsError> => {
  const shapeless = parts.find(({ settings }) => !isRecord(settings))
  if (shapeless !== undefined) {
    return Effect.fail(
      new SettingsError({
        source: shapeless.source,
        problems: [`(whole file): Expected an object of settings, got ${shown(shapeless.settings)}`]
      })
    )
  }
  const partial = merge(...parts.map(({ settings }) => settings as Record<string, unknown>))
  return Schema.decodeEffect(Settings, { errors: "all", onExcessProperty: "error" })(partial).pipe(
    Effect.mapError(({ issue }) => {
      const found = format(issue).issues.map(({ message, path = [] }) => {
        const keys = path.map((part) => String(typeof part === "object" ? part.key : part))
        // A default may conflict with a given setting; then the problem belongs to the given one.
        const giver = [keys, keys.slice(0, -1), keys.slice(0, 1)].flatMap((at) =>
          parts.findLast(({ settings }) =>
            valueAt(settings, at) !== undefined
          ) ?? []
        )[0] ?? parts.at(-1)
        return {
          source: giver?.source ?? "the defaults",
          problem: `${keys.join(".") || "(whole file)"}: ${described(message, keys, valueAt(partial, keys))}`
        }
      })
      return new SettingsError({
        source: [...new Set(found.map(({ source }) => source))].join(" and "),
        problems: found.map(({ problem }) => problem)
      })
    })
  )
}

/** Decodes settings from one source with defaults. */
export const decode = (partial: unknown, source: string): Effect.Effect<Settings, SettingsError> =>
  decodeParts([{ source, settings: partial }])

/** Returns settings with absolute paths, so that they do not depend on the working directory. */
export const located = Effect.fnUntraced(function*(partial: Readonly<Record<string, unknown>>) {
  const path = yield* Path.Path
  const resolved = (value: unknown, at: ReadonlyArray<string>): unknown => {
    const [key, ...rest] = at
    if (key === undefined) return typeof value === "string" && value !== "" ? path.resolve(value) : value
    return isRecord(value) && value[key] !== undefined ? { ...value, [key]: resolved(value[key], rest) } : value
  }
  return [["data"], ["base"], ["encoder", "path"], ["tokenizer", "given", "path"], ["text", "folder"], [
    "text",
    "tasks",
    "preferences"
  ]].reduce<Record<string, unknown>>(
    (settings, at) => resolved(settings, at) as Record<string, unknown>,
    partial
  )
})

/** Fails if a file from which embeddings or SIDs are made is missing. */
export const checkFiles = Effect.fnUntraced(function*(settings: Settings, parts: ReadonlyArray<Part>) {
  const fs = yield* FileSystem.FileSystem
  const { encoder } = settings
  const tokenizer = yield* Quantizers.chosen(settings)
  const problems: Array<string> = []
  const check = Effect.fnUntraced(function*(field: string, file: string, wanted: "File" | "Directory") {
    const found = yield* fs.stat(file).pipe(Effect.option)
    const kind = wanted === "File" ? "file" : "folder"
    if (found._tag === "Some" && found.value.type === wanted) return
    problems.push(
      `${field}: Expected the path of a ${kind}, got ${JSON.stringify(file)}${
        found._tag === "None" ? ", which is not there" : ""
      }`
    )
  })
  if (encoder.kind !== "lsa") yield* check("encoder.path", encoder.path, encoder.kind === "onnx" ? "Directory" : "File")
  if (tokenizer.given !== undefined) yield* check("tokenizer.given.path", tokenizer.given.path, "File")
  else if (tokenizer.quantizer === "given") {
    problems.push(
      "tokenizer.given.path: Expected the path of an index.json, item key to tokens; the data bring none along"
    )
  }
  if (settings.base !== undefined) yield* check("base", settings.base, "Directory")
  if (settings.family === "text" && settings.text !== undefined) {
    const { folder, tasks: { preferences } } = settings.text
    yield* check("text.folder", folder, "Directory")
    if (preferences !== undefined) yield* check("text.tasks.preferences", preferences, "File")
  }
  if (problems.length === 0) return
  const giver = parts.findLast(({ settings }) =>
    ["encoder", "tokenizer", "base", "text"].some((field) => valueAt(settings, [field]) !== undefined)
  )
  return yield* new SettingsError({ source: (giver ?? parts.at(-1))!.source, problems })
})

/** Changed setting. */
export interface Change {
  readonly field: string
  readonly before: unknown
  readonly now: unknown
}

/** Returns the differences of two settings, by field. */
export const changes = (before: unknown, now: unknown, field = ""): ReadonlyArray<Change> => {
  if (!isRecord(before) || !isRecord(now)) {
    return JSON.stringify(before) === JSON.stringify(now) ? [] : [{ field, before, now }]
  }
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].flatMap((key) =>
    changes(before[key], now[key], field === "" ? key : `${field}.${key}`)
  )
}

/** Settings of a demo that ends in seconds: a small shop, a narrow policy, few steps; for trials and checks. */
export const quick: PartialSettings = {
  shop: { users: 200, items: 120 },
  lsa: { width: 32 },
  family: "flat",
  policy: { width: 64, layers: 2, heads: 4, keyValueHeads: 2, feedForward: 128, dropout: 0.1 },
  sft: {
    epochs: 3,
    epochsPerValidation: 1,
    validationUsers: 100,
    learningRate: { peak: 3e-3, warmupSteps: 10, floor: 0.05 }
  },
  grpo: { steps: 4, promptsPerStep: 16, groupSize: 8, stepsPerValidation: 2, validationUsers: 100 }
}

/** Settings that are replaced as a whole, not merged field by field. */
const choices = new Set(["encoder", "rewards"])

/** Merges settings field by field; later ones have precedence. */
export const merge = (...parts: ReadonlyArray<Readonly<Record<string, unknown>>>): Record<string, unknown> => {
  // Names are not restricted: `__proto__` is a key like any other.
  const out = new Map<string, unknown>()
  for (const part of parts) {
    for (const [key, value] of Object.entries(part)) {
      if (value === undefined) continue
      const before = out.get(key)
      out.set(key, isRecord(before) && isRecord(value) && !choices.has(key) ? merge(before, value) : value)
    }
  }
  return Object.fromEntries(out)
}
