/**
 * Configuration of a Hugging Face checkpoint (config.json) as that of the decoder, and back.
 *
 * Both forms of the rotary settings are read: `rope_theta` with `rope_scaling`, and the `rope_parameters` of
 * transformers 5. A setting that would change the numbers and that the decoder does not have is an error.
 */
import * as Effect from "effect/Effect"
import { type FloatType } from "../../storage/Safetensors.ts"
import { DecoderConfig } from "../transformer/Transformer.ts"
import { CheckpointError, InvalidSetting, UnsupportedSetting } from "./CheckpointError.ts"

/** Families of checkpoints, by their `model_type`. */
export type Family = "llama" | "mistral" | "qwen2" | "qwen3"

/** Content of config.json. */
export type Json = Readonly<Record<string, unknown>>

/** Configuration of a checkpoint. */
export interface CheckpointConfig {
  readonly family: Family
  /** Shape of the decoder; a change, such as of `vocabulary`, is written to config.json. */
  readonly decoder: DecoderConfig
  /** Type of the weights in the files. */
  readonly dtype: FloatType
  /** Content of config.json, of which settings that the decoder does not have are kept. */
  readonly json: Json
}

/** Options of reading a configuration. */
export interface ReadOptions {
  /** Name of the file in errors. @default config.json */
  readonly file?: string | undefined
  /** Positions of the table of rotary angles, at most those of the checkpoint. @default 4096, or fewer */
  readonly positions?: number | undefined
}

/** Default settings of a family in transformers. */
interface Defaults {
  readonly architecture: string
  readonly keyValueHeads: (heads: number) => number
  readonly headWidth: (width: number, heads: number) => number
  readonly positions: number
}

const split = (width: number, heads: number) => width / heads

const families: Readonly<Record<Family, Defaults>> = {
  llama: { architecture: "LlamaForCausalLM", keyValueHeads: (heads) => heads, headWidth: split, positions: 2048 },
  mistral: { architecture: "MistralForCausalLM", keyValueHeads: () => 8, headWidth: split, positions: 131_072 },
  qwen2: { architecture: "Qwen2ForCausalLM", keyValueHeads: () => 32, headWidth: split, positions: 32_768 },
  qwen3: { architecture: "Qwen3ForCausalLM", keyValueHeads: () => 32, headWidth: () => 128, positions: 32_768 }
}

/** Largest default number of positions: the table of angles is a constant of every program. */
const mostPositions = 4096

/** Largest number of layers: the names of all tensors are listed before they are compared with the files. */
const mostLayers = 1000

const dtypes: Readonly<Record<string, FloatType>> = { float32: "F32", float16: "F16", bfloat16: "BF16" }

const dtypeNames: Readonly<Record<FloatType, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" }

const show = (value: unknown) => value === undefined ? "nothing" : JSON.stringify(value)

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** Settings of config.json by name; every reader throws `CheckpointError`. */
class Settings {
  readonly json: Json
  readonly file: string

  constructor(json: Json, file: string) {
    this.json = json
    this.file = file
  }

  invalid(field: string, expected: string, value = this.json[field]): never {
    throw new CheckpointError({
      reason: new InvalidSetting({ file: this.file, field, value: show(value), expected })
    })
  }

  unsupported(field: string, remedy: string, value = this.json[field]): never {
    throw new CheckpointError({
      reason: new UnsupportedSetting({ file: this.file, field, value: show(value), remedy })
    })
  }

  /** Returns a setting, with `null` as if it were absent. */
  value(field: string): unknown {
    return this.json[field] ?? undefined
  }

  count(field: string, otherwise?: number): number {
    const value = this.value(field) ?? otherwise
    return Number.isSafeInteger(value) && (value as number) > 0
      ? value as number
      : this.invalid(field, "a whole number above 0", value)
  }

  positive(field: string, otherwise: number, value: unknown = this.value(field)): number {
    const given = value ?? otherwise
    return typeof given === "number" && Number.isFinite(given) && given > 0
      ? given
      : this.invalid(field, "a number above 0", given)
  }

  flag(field: string): boolean {
    const value = this.value(field) ?? false
    return typeof value === "boolean" ? value : this.invalid(field, "true or false", value)
  }
}

const familyOf = (settings: Settings): Family => {
  const type = settings.value("model_type")
  const remedy = `use a checkpoint of ${Object.keys(families).join(", ")}`
  if (typeof type !== "string" || !Object.hasOwn(families, type)) return settings.unsupported("model_type", remedy)
  const family = type as Family
  const architectures = settings.value("architectures")
  const { architecture } = families[family]
  if (architectures !== undefined && !(Array.isArray(architectures) && architectures.includes(architecture))) {
    return settings.unsupported("architectures", `use a checkpoint of ${architecture}`)
  }
  return family
}

const ropeOf = (settings: Settings): Pick<DecoderConfig, "ropeTheta" | "ropeScaling"> => {
  const given = ["rope_parameters", "rope_scaling"].find((field) => settings.value(field) !== undefined)
  const rope = given === undefined ? {} : settings.json[given]
  if (!isObject(rope)) return settings.invalid(given!, "an object")
  const at = (field: string) => `${given}.${field}`
  const theta = rope["rope_theta"] === undefined || rope["rope_theta"] === null
    ? settings.positive("rope_theta", 10_000)
    : settings.positive(at("rope_theta"), 0, rope["rope_theta"])
  const type = rope["rope_type"] ?? rope["type"] ?? "default"
  const partial = rope["partial_rotary_factor"] ?? settings.value("partial_rotary_factor") ?? 1
  if (partial !== 1) {
    return settings.unsupported("partial_rotary_factor", "use a checkpoint that rotates whole heads", partial)
  }
  if (type === "default") return { ropeTheta: theta }
  if (type !== "llama3") {
    return settings.unsupported(
      at("rope_type"),
      "only \"default\" and \"llama3\" are; remove the scaling if all texts are shorter than the original context",
      type
    )
  }
  const number = (field: string) => settings.positive(at(field), Number.NaN, rope[field])
  return {
    ropeTheta: theta,
    ropeScaling: {
      factor: number("factor"),
      lowFrequencyFactor: number("low_freq_factor"),
      highFrequencyFactor: number("high_freq_factor"),
      originalPositions: number("original_max_position_embeddings")
    }
  }
}

/** Returns the window of all layers, undefined where they attend to all earlier positions. */
const windowOf = (settings: Settings, family: Family, layers: number): number | undefined => {
  const types = settings.value("layer_types")
  if (types !== undefined && !(Array.isArray(types) && types.length === layers)) {
    return settings.invalid("layer_types", `a list of ${layers} names`)
  }
  const listed = types as ReadonlyArray<unknown> | undefined
  const known = ["full_attention", "sliding_attention"]
  if (listed !== undefined && !listed.every((type) => known.includes(type as string))) {
    return settings.unsupported("layer_types", `use a checkpoint whose layers are ${known.join(" or ")}`)
  }
  if (family === "llama") return undefined
  if (family === "mistral") {
    // Absent, it has the default of transformers; null, there is none.
    return settings.json["sliding_window"] === null ? undefined : settings.count("sliding_window", 4096)
  }
  if (!settings.flag("use_sliding_window")) return undefined
  const window = settings.count("sliding_window", 4096)
  const first = settings.value("max_window_layers") === 0 ? 0 : settings.count("max_window_layers", 28)
  const sliding = listed === undefined
    ? Math.max(0, layers - first)
    : listed.filter((type) => type === "sliding_attention").length
  if (sliding === 0) return undefined
  if (sliding < layers) {
    return settings.unsupported(
      listed === undefined ? "max_window_layers" : "layer_types",
      "all layers must have the same window; set use_sliding_window to false if all texts are shorter than it"
    )
  }
  return window
}

const read = (json: unknown, { file = "config.json", positions }: ReadOptions): CheckpointConfig => {
  if (!isObject(json)) {
    throw new CheckpointError({
      reason: new InvalidSetting({ file, field: "the content", value: show(json), expected: "a JSON object" })
    })
  }
  const settings = new Settings(json, file)
  const family = familyOf(settings)
  const defaults = families[family]
  if (settings.value("quantization_config") !== undefined) {
    return settings.unsupported("quantization_config", "use the checkpoint before its quantization")
  }
  const act = settings.value("hidden_act") ?? "silu"
  if (act !== "silu" && act !== "swish") settings.unsupported("hidden_act", "use a checkpoint with silu")
  for (const field of ["attention_bias", "mlp_bias"]) {
    // Qwen2 always has biases on queries, keys and values, and Mistral none; transformers ignores the setting there.
    const ignored = family === "mistral" || family === "qwen2" || (family === "qwen3" && field === "mlp_bias")
    if (!ignored && settings.flag(field)) settings.unsupported(field, "use a checkpoint without these biases")
  }
  const width = settings.count("hidden_size")
  const heads = settings.count("num_attention_heads")
  const keyValueHeads = settings.count("num_key_value_heads", defaults.keyValueHeads(heads))
  if (heads % keyValueHeads !== 0) settings.invalid("num_key_value_heads", `a divisor of ${heads}`, keyValueHeads)
  const headWidth = settings.count("head_dim", defaults.headWidth(width, heads))
  if (headWidth % 2 !== 0) settings.invalid("head_dim", "an even number", headWidth)
  const layers = settings.count("num_hidden_layers")
  if (layers > mostLayers) settings.invalid("num_hidden_layers", `at most ${mostLayers}`)
  const all = settings.count("max_position_embeddings", defaults.positions)
  const window = windowOf(settings, family, layers)
  const name = settings.value("dtype") ?? settings.value("torch_dtype") ?? "float32"
  const dtype = Object.hasOwn(dtypes, String(name)) ? dtypes[String(name)] : undefined
  if (dtype === undefined) {
    return settings.unsupported(
      settings.value("dtype") === undefined ? "torch_dtype" : "dtype",
      `use a checkpoint in ${Object.keys(dtypes).join(", ")}`
    )
  }
  return {
    family,
    dtype,
    json,
    decoder: new DecoderConfig({
      vocabulary: settings.count("vocab_size"),
      width,
      layers,
      heads,
      keyValueHeads,
      headWidth,
      feedForward: settings.count("intermediate_size"),
      maxPositions: Math.min(all, positions ?? mostPositions),
      ...ropeOf(settings),
      ...(window === undefined ? {} : { slidingWindow: window }),
      attentionBias: family === "qwen2",
      queryKeyNorm: family === "qwen3",
      tied: settings.flag("tie_word_embeddings"),
      epsilon: settings.positive("rms_norm_eps", 1e-6)
    })
  }
}

/** Runs a reader of settings, with what it throws as a typed failure. */
const attempt = <A>(evaluate: () => A): Effect.Effect<A, CheckpointError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(evaluate())
    } catch (cause) {
      return cause instanceof CheckpointError ? Effect.fail(cause) : Effect.die(cause)
    }
  })

/** Returns the configuration of the content of a config.json; fails for settings that the decoder does not have. */
export const decode = (json: unknown, options: ReadOptions = {}): Effect.Effect<CheckpointConfig, CheckpointError> =>
  attempt(() => read(json, options))

/** Returns the settings that the decoder determines, in the form that every version of transformers reads. */
const settingsOf = (decoder: DecoderConfig, family: Family): Json => {
  const scaling = decoder.ropeScaling
  const rope = scaling === undefined ? undefined : {
    rope_type: "llama3",
    factor: scaling.factor,
    low_freq_factor: scaling.lowFrequencyFactor,
    high_freq_factor: scaling.highFrequencyFactor,
    original_max_position_embeddings: scaling.originalPositions
  }
  return {
    model_type: family,
    architectures: [families[family].architecture],
    vocab_size: decoder.vocabulary,
    hidden_size: decoder.width,
    num_hidden_layers: decoder.layers,
    num_attention_heads: decoder.heads,
    num_key_value_heads: decoder.keyValueHeads,
    head_dim: decoder.headWidth,
    intermediate_size: decoder.feedForward,
    rms_norm_eps: decoder.epsilon,
    rope_theta: decoder.ropeTheta,
    rope_scaling: rope ?? null,
    rope_parameters: { rope_theta: decoder.ropeTheta, ...(rope ?? { rope_type: "default" }) },
    tie_word_embeddings: decoder.tied
  }
}

const windowSettings = (decoder: DecoderConfig, family: Family): Json => {
  const window = decoder.slidingWindow
  if (family === "llama") return {}
  if (family === "mistral") return { sliding_window: window ?? null }
  const type = window === undefined ? "full_attention" : "sliding_attention"
  return {
    use_sliding_window: window !== undefined,
    sliding_window: window ?? null,
    max_window_layers: window === undefined ? decoder.layers : 0,
    layer_types: Array.from({ length: decoder.layers }, () => type)
  }
}

const familyFor = (decoder: DecoderConfig): Family =>
  decoder.queryKeyNorm ? "qwen3" : decoder.attentionBias ? "qwen2" : decoder.slidingWindow === undefined
    ? "llama"
    : "mistral"

/**
 * Returns the configuration of a decoder that was not read from a checkpoint. Its family is the one with the decoder's
 * biases, norms and window; fails where no family has them.
 */
export const ofDecoder = (
  decoder: DecoderConfig,
  dtype: FloatType = "F32"
): Effect.Effect<CheckpointConfig, CheckpointError> => {
  const family = familyFor(decoder)
  if (decoder.attentionBias && decoder.queryKeyNorm) {
    return Effect.fail(
      new CheckpointError({
        reason: new UnsupportedSetting({
          file: "config.json",
          field: "attentionBias with queryKeyNorm",
          value: "true",
          remedy: "no family has both; choose one"
        })
      })
    )
  }
  return Effect.succeed({
    family,
    decoder,
    dtype,
    json: {
      ...settingsOf(decoder, family),
      ...windowSettings(decoder, family),
      max_position_embeddings: decoder.maxPositions,
      hidden_act: "silu",
      ...(family === "qwen3" || family === "llama" ? { attention_bias: false } : {}),
      ...(family === "llama" ? { mlp_bias: false } : {}),
      attention_dropout: 0,
      initializer_range: 0.02,
      use_cache: true,
      torch_dtype: dtypeNames[dtype]
    }
  })
}

const sameRope = (a: DecoderConfig, b: DecoderConfig) =>
  a.ropeTheta === b.ropeTheta && JSON.stringify(a.ropeScaling) === JSON.stringify(b.ropeScaling)

/**
 * Returns the content of config.json: that which was read, with the settings of the decoder and the type of the
 * weights. Rotary settings are written in both forms, since older versions of transformers ignore `rope_parameters`.
 */
export const encode = (
  config: CheckpointConfig,
  dtype: FloatType = config.dtype
): Effect.Effect<Json, CheckpointError> =>
  attempt(() => {
    const { decoder, family, json } = config
    const before = read(json, { positions: decoder.maxPositions }).decoder
    const own = settingsOf(decoder, family)
    const { torch_dtype: _, ...others } = json
    const next: Json = {
      ...others,
      ...own,
      ...(sameRope(before, decoder) ? ropeKept(json, own) : {}),
      ...(before.slidingWindow === decoder.slidingWindow && before.layers === decoder.layers
        ? {}
        : windowSettings(decoder, family)),
      ...(before.maxPositions < decoder.maxPositions ? { max_position_embeddings: decoder.maxPositions } : {}),
      [json["dtype"] === undefined ? "torch_dtype" : "dtype"]: dtypeNames[dtype]
    }
    const after = read(next, { positions: decoder.maxPositions }).decoder
    for (const field of Object.keys(decoder) as ReadonlyArray<keyof DecoderConfig>) {
      if (JSON.stringify(after[field]) === JSON.stringify(decoder[field])) continue
      throw new CheckpointError({
        reason: new UnsupportedSetting({
          file: "config.json",
          field,
          value: show(decoder[field]),
          remedy: `a checkpoint of ${family} has ${
            show(after[field])
          } there; start from the configuration of another family`
        })
      })
    }
    return next
  })

/** Returns the rotary settings as they were read, with the form that is missing. */
const ropeKept = (json: Json, own: Json): Json => ({
  rope_theta: own["rope_theta"],
  rope_scaling: json["rope_scaling"] ?? own["rope_scaling"],
  rope_parameters: json["rope_parameters"] ?? own["rope_parameters"]
})
