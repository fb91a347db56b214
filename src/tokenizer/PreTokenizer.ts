/**
 * Pre-tokenizers: the pieces of a text within which byte pairs are merged.
 */
import * as Effect from "effect/Effect"
import * as SplitPattern from "./SplitPattern.ts"
import { badField, type TokenizerError, unsupported } from "./TokenizerError.ts"

/** Function from a text to its pieces, none of which is empty. */
export type PreTokenizer = (text: string) => ReadonlyArray<string>

/** Patterns of published families, by name. */
export const patterns = {
  gpt2: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  llama3:
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  qwen2:
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
} as const

/** Family with a known pattern. */
export type Family = keyof typeof patterns

type Json = Readonly<Record<string, unknown>>

/** Returns the `pre_tokenizer` of a family as tokenizer.json writes it. */
export const jsonOf = (family: Family): Json => {
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: family === "gpt2" }
  return family === "gpt2" ? bytes : {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: patterns[family] }, behavior: "Isolated", invert: false },
      bytes
    ]
  }
}

/** Steps of a pre-tokenizer, and whether the last one wrote bytes. */
interface Steps {
  readonly split: PreTokenizer
  readonly writesBytes: boolean
}

const gpt2 = SplitPattern.compile(patterns.gpt2)

const byteLevel = ({ add_prefix_space: prefix = true, use_regex: regex = true }: Json): PreTokenizer => (text) => {
  const spaced = prefix === true && !text.startsWith(" ") && text !== "" ? ` ${text}` : text
  return regex === true ? SplitPattern.isolate(spaced, gpt2) : spaced === "" ? [] : [spaced]
}

const splitOf = Effect.fnUntraced(function*(json: Json, file: string, field: string) {
  const { behavior, invert = false, pattern } = json
  const { Regex: regex, String: string } = (pattern ?? {}) as { readonly Regex?: unknown; readonly String?: unknown }
  if (typeof regex !== "string" && typeof string !== "string") {
    return yield* badField(file, `${field}.pattern`, pattern, "{ \"Regex\": ... } or { \"String\": ... }")
  }
  const compiled = yield* Effect.try({
    try: () => typeof regex === "string" ? SplitPattern.compile(regex) : SplitPattern.literal(string as string),
    catch: (cause) =>
      unsupported(file, `${field}.pattern`, regex, `a simpler pattern (${cause instanceof Error ? cause.message : ""})`)
  })
  if (behavior === "Isolated") return (text: string) => SplitPattern.isolate(text, compiled)
  if (behavior === "Removed") {
    return (text: string) =>
      invert === true ? Array.from(text.matchAll(compiled), ([piece]) => piece) : SplitPattern.remove(text, compiled)
  }
  return yield* unsupported(file, `${field}.behavior`, behavior, "Isolated or Removed")
})

const stepsOf: (json: unknown, file: string, field: string) => Effect.Effect<Steps, TokenizerError> = Effect.fnUntraced(
  function*(json, file, field) {
    if (typeof json !== "object" || json === null) return yield* badField(file, field, json, "an object")
    const part = json as Json
    switch (part["type"]) {
      case "ByteLevel":
        return { split: byteLevel(part), writesBytes: true }
      case "Split":
        return { split: yield* splitOf(part, file, field), writesBytes: false }
      case "Digits": {
        const digits = part["individual_digits"] === true ? /\p{N}/gu : /\p{N}+/gu
        return { split: (text) => SplitPattern.isolate(text, digits), writesBytes: false }
      }
      case "Sequence": {
        const list = part["pretokenizers"]
        if (!Array.isArray(list)) return yield* badField(file, `${field}.pretokenizers`, list, "a list")
        const parts = yield* Effect.forEach(
          list as ReadonlyArray<unknown>,
          (one, i) => stepsOf(one, file, `${field}.pretokenizers[${i}]`)
        )
        const early = parts.slice(0, -1).findIndex(({ writesBytes }) => writesBytes)
        if (early >= 0) {
          return yield* unsupported(file, `${field}.pretokenizers[${early}].type`, "ByteLevel", "ByteLevel at the end")
        }
        return {
          split: (text) =>
            parts.reduce<ReadonlyArray<string>>((pieces, { split }) => pieces.flatMap((piece) => split(piece)), [text]),
          writesBytes: parts.at(-1)?.writesBytes ?? false
        }
      }
      default:
        return yield* unsupported(file, `${field}.type`, part["type"], "ByteLevel, Split, Digits or Sequence")
    }
  }
)

/** Builds the pre-tokenizer that the JSON of a tokenizer describes; it must end at the level of bytes. */
export const make = Effect.fnUntraced(function*(json: unknown, file: string, field = "pre_tokenizer") {
  const { split, writesBytes } = yield* stepsOf(json, file, field)
  if (!writesBytes) return yield* unsupported(file, field, json, "a ByteLevel pre-tokenizer (byte-level BPE)")
  return split
})
