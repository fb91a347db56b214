/**
 * Files of byte-level BPE tokenizers: `tokenizer.json` of Hugging Face, or `vocab.json` with `merges.txt`.
 *
 * Chat templates, post-processors, truncation and padding of the files are kept when a tokenizer is written, but nothing
 * here applies them.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Durable from "../run/Durable.ts"
import * as AddedTokens from "./AddedTokens.ts"
import * as PreTokenizer from "./PreTokenizer.ts"
import { badField, TokenizerError, UnreadableTokenizer, unsupported } from "./TokenizerError.ts"

type Json = Readonly<Record<string, unknown>>

/** Tokens with a part to play in prompts, by name; absent where the tokenizer names none. */
export interface Roles {
  /** Token before a text. */
  readonly bos?: string
  /** Token after a text. */
  readonly eos?: string
  readonly pad?: string
}

/** Tokenizer as its files define it. */
export interface Definition {
  /** Path of the file, for messages. */
  readonly file: string
  /** Ids of the tokens that merges make, and of single bytes. */
  readonly vocabulary: ReadonlyMap<string, number>
  /** Pairs that are merged, by rank. */
  readonly merges: ReadonlyArray<readonly [left: string, right: string]>
  /** Whether a piece that is itself a token is not split and merged. */
  readonly ignoresMerges: boolean
  readonly normalizer: unknown
  readonly preTokenizer: unknown
  readonly added: ReadonlyArray<AddedTokens.AddedToken>
  readonly roles: Roles
  /** Content of tokenizer.json without its added tokens, as it was read. */
  readonly json: Json
}

const Id = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThan(2 ** 26))

const AddedJson = Schema.Struct({
  id: Id,
  content: Schema.String.check(Schema.isMinLength(1)),
  single_word: Schema.optionalKey(Schema.Boolean),
  lstrip: Schema.optionalKey(Schema.Boolean),
  rstrip: Schema.optionalKey(Schema.Boolean),
  normalized: Schema.optionalKey(Schema.Boolean),
  special: Schema.optionalKey(Schema.Boolean)
})

const decodeAdded = Schema.decodeUnknownEffect(AddedJson)

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const addedOf = (value: unknown, file: string, field: string) =>
  decodeAdded(value).pipe(
    Effect.mapError((error) =>
      badField(file, field, value, `an added token with an id and a content (${error.message.split("\n")[0]})`)
    ),
    Effect.map((token): AddedTokens.AddedToken => ({
      id: token.id,
      content: token.content,
      singleWord: token.single_word ?? false,
      leftStrip: token.lstrip ?? false,
      rightStrip: token.rstrip ?? false,
      normalized: token.normalized ?? !(token.special ?? false),
      special: token.special ?? false
    }))
  )

const addedJson = (token: AddedTokens.AddedToken): Json => ({
  id: token.id,
  content: token.content,
  single_word: token.singleWord,
  lstrip: token.leftStrip,
  rstrip: token.rightStrip,
  normalized: token.normalized,
  special: token.special
})

const vocabularyOf = Effect.fnUntraced(function*(json: unknown, file: string, field: string) {
  if (!isObject(json)) return yield* badField(file, field, json, "an object from tokens to ids")
  const vocabulary = new Map<string, number>()
  const taken = new Set<number>()
  for (const [token, id] of Object.entries(json)) {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= 2 ** 26) {
      return yield* badField(file, `${field}[${JSON.stringify(token)}]`, id, "an id, an integer from 0")
    }
    if (taken.has(id)) return yield* badField(file, `${field}[${JSON.stringify(token)}]`, id, "an id of its own")
    taken.add(id)
    vocabulary.set(token, id)
  }
  return vocabulary
})

const mergesOf = Effect.fnUntraced(function*(json: unknown, file: string, field: string) {
  if (!Array.isArray(json)) return yield* badField(file, field, json, "a list of pairs")
  const merges: Array<readonly [string, string]> = []
  for (const [rank, entry] of (json as ReadonlyArray<unknown>).entries()) {
    const parts = typeof entry === "string" ? entry.split(" ") : entry
    if (
      !Array.isArray(parts) || parts.length !== 2 || !parts.every((part) => typeof part === "string" && part !== "")
    ) {
      return yield* badField(file, `${field}[${rank}]`, entry, "\"a b\" or [\"a\", \"b\"]")
    }
    merges.push(parts as unknown as readonly [string, string])
  }
  return merges
})

const roleOf = (value: unknown): string | undefined =>
  typeof value === "string"
    ? value
    : isObject(value) && typeof value["content"] === "string"
    ? value["content"]
    : undefined

/** Returns the roles that a tokenizer_config.json or special_tokens_map.json names. */
export const rolesOf = (config: unknown): Roles => {
  const json = isObject(config) ? config : {}
  const [bos, eos, pad] = [roleOf(json["bos_token"]), roleOf(json["eos_token"]), roleOf(json["pad_token"])]
  return {
    ...(bos === undefined ? {} : { bos }),
    ...(eos === undefined ? {} : { eos }),
    ...(pad === undefined ? {} : { pad })
  }
}

/** Reads a definition from the parsed JSON of a tokenizer.json; `roles` come from the files beside it. */
export const parse = Effect.fn("TokenizerFile.parse")(function*(
  json: unknown,
  file = "tokenizer.json",
  roles: Roles = {}
) {
  if (!isObject(json)) return yield* badField(file, "(whole file)", json, "an object")
  const { added_tokens: addedTokens = [], ...rest } = json
  const { decoder, model, normalizer = null, pre_tokenizer: preTokenizer = null } = rest
  if (!isObject(model)) return yield* badField(file, "model", model, "an object")
  if (model["type"] !== "BPE" && !(model["type"] === undefined && "merges" in model)) {
    return yield* unsupported(file, "model.type", model["type"], "a BPE model")
  }
  for (const field of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    if (model[field]) return yield* unsupported(file, `model.${field}`, model[field], "none (byte-level BPE)")
  }
  if (model["byte_fallback"] === true) {
    return yield* unsupported(file, "model.byte_fallback", true, "byte-level BPE instead of a fallback to bytes")
  }
  if (isObject(decoder) && decoder["type"] !== "ByteLevel") {
    return yield* unsupported(file, "decoder.type", decoder["type"], "a ByteLevel decoder")
  }
  if (!Array.isArray(addedTokens)) return yield* badField(file, "added_tokens", addedTokens, "a list")
  const vocabulary = yield* vocabularyOf(model["vocab"], file, "model.vocab")
  const added = yield* Effect.forEach(
    addedTokens as ReadonlyArray<unknown>,
    (token, i) => addedOf(token, file, `added_tokens[${i}]`)
  )
  const owners = new Map(Array.from(vocabulary, ([token, id]) => [id, token]))
  for (const [i, { content, id }] of added.entries()) {
    const owner = owners.get(id)
    if ((owner !== undefined && owner !== content) || (vocabulary.get(content) ?? id) !== id) {
      return yield* badField(file, `added_tokens[${i}].id`, id, `an id that is only that of ${JSON.stringify(content)}`)
    }
    owners.set(id, content)
  }
  const definition: Definition = {
    file,
    vocabulary,
    merges: yield* mergesOf(model["merges"], file, "model.merges"),
    ignoresMerges: model["ignore_merges"] === true,
    normalizer,
    preTokenizer,
    added,
    roles,
    json: rest
  }
  return definition
})

/** Tokenizer classes of transformers with a known pre-tokenizer. */
const classes: Readonly<Record<string, PreTokenizer.Family>> = {
  GPT2Tokenizer: "gpt2",
  Qwen2Tokenizer: "qwen2",
  LlamaTokenizer: "llama3",
  PreTrainedTokenizer: "llama3"
}

/** Returns the JSON of a tokenizer.json made of the parsed `vocab.json` and the text of `merges.txt`. */
export const assemble = (vocab: unknown, merges: string, family: PreTokenizer.Family, added: unknown = []): Json => ({
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: added,
  normalizer: family === "qwen2" ? { type: "NFC" } : null,
  pre_tokenizer: PreTokenizer.jsonOf(family),
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: family === "llama3",
    vocab,
    merges: merges.split(/\r?\n/).filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version")))
  }
})

const unreadable = (file: string, detail: string) =>
  new TokenizerError({ reason: new UnreadableTokenizer({ file, detail }) })

/**
 * Reads the tokenizer of a folder: `tokenizer.json`, else `vocab.json` and `merges.txt` (or `encoder.json` and
 * `vocab.bpe`). The roles and, beside `merges.txt`, the added tokens and the family come from `tokenizer_config.json`;
 * `family` decides where that file names none.
 */
export const read = Effect.fn("TokenizerFile.read")(function*(
  folder: string,
  options: { readonly family?: PreTokenizer.Family } = {}
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* fs.readDirectory(folder).pipe(
    Effect.mapError((error) => unreadable(folder, Durable.wordsOf(error)))
  )
  const text = (name: string) =>
    fs.readFileString(path.join(folder, name)).pipe(
      Effect.mapError((error) => unreadable(path.join(folder, name), Durable.wordsOf(error)))
    )
  const json = Effect.fnUntraced(function*(name: string) {
    const content = yield* text(name)
    return yield* Effect.try({
      try: () => JSON.parse(content) as unknown,
      catch: (cause) => unreadable(path.join(folder, name), `it is no JSON (${(cause as Error).message})`)
    })
  })
  const optional = (name: string) => names.includes(name) ? json(name) : Effect.succeed({})
  const config = yield* optional("tokenizer_config.json")
  const roles = { ...rolesOf(yield* optional("special_tokens_map.json")), ...rolesOf(config) }
  if (names.includes("tokenizer.json")) {
    return yield* parse(yield* json("tokenizer.json"), path.join(folder, "tokenizer.json"), roles)
  }
  const vocab = ["vocab.json", "encoder.json"].find((name) => names.includes(name))
  const merges = ["merges.txt", "vocab.bpe"].find((name) => names.includes(name))
  if (vocab === undefined || merges === undefined) {
    return yield* unreadable(folder, `it has neither tokenizer.json nor both of vocab.json and merges.txt`)
  }
  const settings = isObject(config) ? config : {}
  const named = typeof settings["tokenizer_class"] === "string" ? settings["tokenizer_class"].replace(/Fast$/, "") : ""
  const family = options.family ?? classes[named] ?? (vocab === "encoder.json" ? "gpt2" : undefined)
  if (family === undefined) {
    return yield* unsupported(
      path.join(folder, "tokenizer_config.json"),
      "tokenizer_class",
      settings["tokenizer_class"],
      `${Object.keys(classes).join(", ")}, or pass the family (${Object.keys(PreTokenizer.patterns).join(", ")})`
    )
  }
  const added = Object.entries(isObject(settings["added_tokens_decoder"]) ? settings["added_tokens_decoder"] : {})
    .map(([id, token]) => ({ ...(isObject(token) ? token : {}), id: Number(id) }))
  const contents = new Set(added.map((token) => (token as { readonly content?: unknown }).content))
  const more = yield* optional("added_tokens.json")
  const others = Object.entries(isObject(more) ? more : {}).filter(([content]) => !contents.has(content))
    .map(([content, id]) => ({ content, id, special: false }))
  const file = path.join(folder, vocab)
  return yield* parse(assemble(yield* json(vocab), yield* text(merges), family, [...added, ...others]), file, roles)
})

/** Returns the number of token ids: the largest id plus one. */
export const size = ({ added, vocabulary }: Definition): number => {
  let most = -1
  for (const id of vocabulary.values()) most = Math.max(most, id)
  for (const { id } of added) most = Math.max(most, id)
  return most + 1
}

/** Returns the tokenizer with more tokens, in the given order after its last id; tokens that it has keep their ids. */
export const extend = (definition: Definition, tokens: ReadonlyArray<string>): Definition => {
  const known = new Set(definition.added.map(({ content }) => content))
  const fresh = [...new Set(tokens)].filter((token) => !known.has(token))
  let next = size(definition)
  const added = fresh.map((token) => AddedTokens.plain(token, definition.vocabulary.get(token) ?? next++))
  return { ...definition, added: [...definition.added, ...added] }
}

/** Returns the tokenizer without the added tokens for which `drop` is true. */
export const withoutTokens = (definition: Definition, drop: (content: string) => boolean): Definition => ({
  ...definition,
  added: definition.added.filter(({ content }) => !drop(content))
})

/** Returns the content of tokenizer.json, the tokens added since included. */
export const toJson = ({ added, json }: Definition): Json => {
  const { model, ...rest } = json
  return { ...rest, added_tokens: added.toSorted((a, b) => a.id - b.id).map(addedJson), model }
}

/** Writes the tokenizer as `tokenizer.json` into a folder, atomically. */
export const write = Effect.fn("TokenizerFile.write")(function*(folder: string, definition: Definition) {
  const path = yield* Path.Path
  yield* Durable.write(path.join(folder, "tokenizer.json"), `${JSON.stringify(toJson(definition))}\n`)
})
