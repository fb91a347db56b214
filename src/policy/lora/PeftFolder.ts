/**
 * Adapters in peft's folder layout: `adapter_config.json` and `adapter_model.safetensors`.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Durable from "../../run/Durable.ts"
import { type RunError } from "../../run/RunError.ts"
import * as Safetensors from "../../storage/Safetensors.ts"
import { type SavedTensor } from "../../tensor/ParameterBuffer.ts"
import * as Printable from "../../text/Printable.ts"
import * as Lora from "./Lora.ts"
import * as LoraConfig from "./LoraConfig.ts"
import { InvalidAdapter, LoraError, UnreadableAdapter } from "./LoraError.ts"

/** Adapters with their configuration. */
export interface Adapter {
  readonly config: LoraConfig.LoraConfig
  /** Matrices A and B of every adapted layer, by peft's names. */
  readonly tensors: Lora.Tensors
  /** Name or path of the base. @default none */
  readonly baseModel?: string | undefined
}

const configFile = "adapter_config.json"
const tensorsFile = "adapter_model.safetensors"

/** Largest `adapter_config.json` that is read, in bytes; peft writes about 1 KB. */
const largestConfig = 2 ** 20

type Json = Readonly<Record<string, unknown>>

/** Options that do not change what an adapter computes. */
const ignored: ReadonlySet<string> = new Set([
  "auto_mapping",
  "base_model_name_or_path",
  "inference_mode",
  "megatron_core",
  "peft_version",
  "qalora_group_size",
  "revision"
])

/** Options that are read, with the setting that each becomes. */
const options = {
  r: "rank",
  lora_alpha: "alpha",
  use_rslora: "rsLora",
  target_modules: "modules",
  lora_dropout: "dropout",
  layers_to_transform: "layers"
} as const

/** Values of options under which they have no effect, besides null, false and what is empty. */
const neutral: Readonly<Record<string, ReadonlyArray<unknown>>> = {
  peft_type: ["LORA"],
  task_type: ["CAUSAL_LM"],
  bias: ["none"],
  layers_pattern: ["layers"],
  // Other ways to begin change the base weights, too, so that the adapter fits only a base changed in the same way.
  init_lora_weights: [true, "gaussian", "orthogonal", "eva"]
}

const mergeIt = "merge the adapter in peft (merge_and_unload) and use the merged model, or train it without this option"

/** Remedies for options without support; others are merged. */
const remedies: Readonly<Record<string, string>> = {
  peft_type: "convert the adapter to LORA, or merge it in peft (merge_and_unload) and use the merged model",
  task_type: "save the adapter of a model for CAUSAL_LM",
  init_lora_weights: "save the adapter in peft with path_initial_model_for_weight_conversion"
}

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || value === false || value === "" ||
  (typeof value === "object" && Object.keys(value).length === 0)

const shown = (value: unknown): string => {
  const text = Printable.json(value)
  return text.length > 80 ? `${text.slice(0, 80)} ...` : text
}

/** Returns the problems of options that are not supported. */
const unsupported = (json: Json): ReadonlyArray<string> =>
  Object.entries(json).flatMap(([option, value]) => {
    if (ignored.has(option) || Object.hasOwn(options, option)) return []
    const allowed = Object.hasOwn(neutral, option) ? neutral[option]! : []
    if (allowed.includes(value) || (isEmpty(value) && option !== "peft_type")) return []
    const remedy = Object.hasOwn(remedies, option) ? remedies[option]! : mergeIt
    return [`${configFile}: ${Printable.line(option)} = ${shown(value)} is not supported; ${remedy}`]
  })

/** Returns the layer that a name such as `q_proj` or `self_attn.q_proj` means, else undefined. */
const moduleOf = (name: unknown): LoraConfig.Module | undefined =>
  LoraConfig.modules.find((module) =>
    name === module || name === `${/^[qkvo]_/.test(module) ? "self_attn" : "mlp"}.${module}`
  )

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** Returns the configuration in an `adapter_config.json`, if it can be understood, and every problem of it. */
const configOf = (json: Json): {
  readonly config: LoraConfig.LoraConfig | undefined
  readonly problems: ReadonlyArray<string>
} => {
  const problems = [...unsupported(json)]
  const targets = json["target_modules"]
  let modules: ReadonlyArray<LoraConfig.Module> = []
  if (targets === "all-linear") modules = LoraConfig.modules
  else if (!Array.isArray(targets) || targets.length === 0) {
    problems.push(
      `${configFile}: target_modules = ${shown(targets ?? null)} is not supported; list the names of the layers, of ` +
        LoraConfig.modules.join(", ")
    )
  } else {
    for (const target of targets) {
      if (moduleOf(target) !== undefined) continue
      problems.push(
        `${configFile}: target_modules has ${shown(target)}, which cannot have an adapter; use ` +
          LoraConfig.modules.join(", ")
      )
    }
    modules = LoraConfig.modules.filter((module) => targets.some((target) => moduleOf(target) === module))
  }
  const layers = json["layers_to_transform"]
  const decoded = Schema.decodeUnknownResult(LoraConfig.LoraConfig, { errors: "all" })({
    rank: json["r"] ?? 8,
    alpha: json["lora_alpha"] ?? 8,
    rsLora: json["use_rslora"] ?? false,
    dropout: json["lora_dropout"] ?? 0,
    // Without any known module the problem is already named; the others are still to be found.
    modules: modules.length === 0 ? LoraConfig.modules : modules,
    ...(layers === undefined || layers === null ? {} : { layers: typeof layers === "number" ? [layers] : layers })
  })
  if (Result.isFailure(decoded)) {
    for (const { message, path } of format(decoded.failure.issue).issues) {
      const [setting] = path ?? []
      const option = Object.entries(options).find(([, own]) => own === setting)?.[0] ?? String(setting)
      problems.push(`${configFile}: ${option} = ${shown(json[option])}: ${message}; correct the value`)
    }
  }
  const config = Result.isSuccess(decoded) && modules.length > 0 ? decoded.success : undefined
  return { config, problems }
}

/** Reads a regular file of at most `largest` bytes. */
const bytesOf = Effect.fnUntraced(function*(file: string, largest: number, remedy: string) {
  const fs = yield* FileSystem.FileSystem
  const refuse = (detail: string) => new LoraError({ reason: new UnreadableAdapter({ file, detail, remedy }) })
  const { size, type } = yield* fs.stat(file).pipe(Effect.mapError((error) => refuse(Durable.wordsOf(error))))
  // Reading a pipe or a device would not end.
  if (type !== "File") return yield* refuse(`it is not a file but a ${type}`)
  if (Number(size) > largest) return yield* refuse(`it has ${size} bytes; at most ${largest} are read`)
  return yield* fs.readFile(file).pipe(Effect.mapError((error) => refuse(Durable.wordsOf(error))))
})

const saveAgain = "save the adapter again with peft's save_pretrained"

const parsing = <A>(file: string, parse: () => A) =>
  Effect.try({
    try: parse,
    catch: (cause) =>
      new LoraError({
        reason: new UnreadableAdapter({
          file,
          detail: Printable.line(cause instanceof Error ? cause.message : String(cause)),
          remedy: saveAgain
        })
      })
  })

const jsonOf = (bytes: Uint8Array): Json => {
  const json: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"))
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new Error("it is not a JSON object")
  return json as Json
}

const invalid = (source: string, problems: ReadonlyArray<string>) =>
  new LoraError({ reason: new InvalidAdapter({ source, problems }) })

/**
 * Reads the adapters of a folder for a base with the given shapes; half-precision tensors become float32. Fails with
 * every problem of the configuration and the tensors.
 */
export const read: (
  folder: string,
  base: Lora.Shapes
) => Effect.Effect<Adapter, LoraError, FileSystem.FileSystem | Path.Path> = Effect.fn("PeftFolder.read")(
  function*(folder, base) {
    const path = yield* Path.Path
    const [configPath, tensorsPath] = [path.join(folder, configFile), path.join(folder, tensorsFile)]
    const configBytes = yield* bytesOf(configPath, largestConfig, "pass a folder that peft's save_pretrained wrote")
    const json = yield* parsing(configPath, () => jsonOf(configBytes))
    const { config, problems } = configOf(json)
    const tensorBytes = yield* bytesOf(tensorsPath, Infinity, `${saveAgain} (safe_serialization=True)`)
    const stored = yield* parsing(tensorsPath, () => Safetensors.decode(tensorBytes))
    const tensors = new Map<string, SavedTensor>()
    const others: Array<string> = []
    for (const [name, { data, dtype, shape }] of stored) {
      if (data instanceof Float32Array) tensors.set(name, { dtype: "F32", shape, data })
      else {
        others.push(`the tensor "${Printable.line(name)}" is ${dtype}; store F32, F16 or BF16`)
        // Kept as zeros, so that its name and shape are checked with the others.
        tensors.set(name, { dtype: "F32", shape, data: new Float32Array(0) })
      }
    }
    const all = [
      ...problems,
      ...others,
      ...(config === undefined ? [] : Lora.problems(config, base, tensors))
    ]
    if (config === undefined || all.length > 0) return yield* invalid(folder, all)
    const baseModel = json["base_model_name_or_path"]
    return { config, tensors, ...(typeof baseModel === "string" ? { baseModel } : {}) }
  }
)

const encodeConfig = ({ baseModel, config }: Adapter): string =>
  `${
    JSON.stringify(
      {
        alpha_pattern: {},
        base_model_name_or_path: baseModel ?? null,
        bias: "none",
        fan_in_fan_out: false,
        inference_mode: true,
        init_lora_weights: true,
        layers_to_transform: config.layers ?? null,
        lora_alpha: config.alpha,
        lora_dropout: config.dropout,
        modules_to_save: null,
        peft_type: "LORA",
        r: config.rank,
        rank_pattern: {},
        target_modules: config.modules.toSorted(),
        task_type: "CAUSAL_LM",
        use_dora: false,
        use_rslora: config.rsLora
      },
      null,
      2
    )
  }\n`

/** Returns the files of a folder of adapters by name, tensors first. Fails with every problem of the tensors. */
export const files = (
  adapter: Adapter,
  base: Lora.Shapes,
  source = "the adapter"
): Effect.Effect<ReadonlyMap<string, Uint8Array>, LoraError> => {
  const problems = Lora.problems(adapter.config, base, adapter.tensors)
  if (problems.length > 0) return Effect.fail(invalid(source, problems))
  const tensors = [...adapter.tensors].toSorted(([a], [b]) => a < b ? -1 : 1)
  return Effect.succeed(
    new Map([
      [tensorsFile, Safetensors.encode(new Map(tensors), { format: "pt" })],
      [configFile, Buffer.from(encodeConfig(adapter))]
    ])
  )
}

/**
 * Writes adapters to a folder, which is made if it is missing, so that peft's `PeftModel.from_pretrained` reads them.
 * Fails with every problem of the tensors before it writes. The configuration is removed first and written last: a
 * folder has one only if its tensors are complete and belong to it.
 */
export const write: (
  folder: string,
  adapter: Adapter,
  base: Lora.Shapes
) => Effect.Effect<void, LoraError | RunError, FileSystem.FileSystem | Path.Path> = Effect.fn("PeftFolder.write")(
  function*(folder, adapter, base) {
    const written = yield* files(adapter, base, `the adapter for ${folder}`)
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const configPath = path.join(folder, configFile)
    yield* Durable.makeFolder(folder)
    yield* fs.remove(configPath, { force: true }).pipe(Effect.mapError(Durable.storage("remove", configPath)))
    yield* Durable.flushFolder(folder)
    for (const [name, bytes] of written) yield* Durable.write(path.join(folder, name), bytes)
  }
)
