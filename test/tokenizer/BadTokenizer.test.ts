import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as ByteAlphabet from "../../src/tokenizer/ByteAlphabet.ts"
import * as ByteLevelBpe from "../../src/tokenizer/ByteLevelBpe.ts"
import * as TextTokenizer from "../../src/tokenizer/TextTokenizer.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"

const vocab = Object.fromEntries([...ByteAlphabet.characters, "he"].map((token, id) => [token, id]))
const whole = TokenizerFile.assemble(vocab, "h e", "qwen2")

const messageOf = (json: unknown) =>
  Effect.flip(Effect.flatMap(TokenizerFile.parse(json, "t.json"), ByteLevelBpe.make)).pipe(
    Effect.map(({ message }) => message)
  )

describe("tokenizers that cannot be used", () => {
  const model = whole["model"] as Record<string, unknown>
  const { "!": _, ...withoutByte } = vocab
  const cases: ReadonlyArray<readonly [what: string, json: unknown, pattern: RegExp]> = [
    ["no object", [1], /\(whole file\) is \[1\]/],
    ["no model", { ...whole, model: null }, /model is null/],
    ["another model", { ...whole, model: { ...model, type: "Unigram" } }, /model\.type is "Unigram".*not supported/],
    ["fallback to bytes", { ...whole, model: { ...model, byte_fallback: true } }, /byte_fallback is true/],
    ["an id that is a text", { ...whole, model: { ...model, vocab: { ...vocab, he: "7" } } }, /vocab\["he"\] is "7"/],
    ["an id of two tokens", { ...whole, model: { ...model, vocab: { ...vocab, he: 3 } } }, /vocab\["he"\] is 3/],
    ["a byte without an id", { ...whole, model: { ...model, vocab: withoutByte } }, /"!"\] is missing.*byte 33/],
    ["a merge of three", { ...whole, model: { ...model, merges: ["h e", "h e r"] } }, /merges\[1\] is "h e r"/],
    ["a merge into nothing", { ...whole, model: { ...model, merges: [["h", "a"]] } }, /merges\[0\] is "h a".*with ha/],
    ["an added token without a content", { ...whole, added_tokens: [{ id: 300 }] }, /added_tokens\[0\]/],
    [
      "an added token on a taken id",
      { ...whole, added_tokens: [{ id: 256, content: "<a_1>" }] },
      /added_tokens\[0\]\.id/
    ],
    [
      "another normaliser",
      { ...whole, normalizer: { type: "BertNormalizer" } },
      /normalizer\.type is "BertNormalizer"/
    ],
    [
      "words instead of bytes",
      { ...whole, pre_tokenizer: { type: "Whitespace" } },
      /pre_tokenizer\.type is "Whitespace"/
    ],
    [
      "a pattern with possessive repeats",
      {
        ...whole,
        pre_tokenizer: { type: "Split", pattern: { Regex: "\\p{L}++" }, behavior: "Isolated" }
      },
      /pre_tokenizer\.pattern is "\\\\p\{L\}\+\+"/
    ],
    ["another decoder", { ...whole, decoder: { type: "Metaspace" } }, /decoder\.type is "Metaspace"/]
  ]
  for (const [what, json, pattern] of cases) {
    it.effect(`${what}: the error names file, field and value`, () =>
      Effect.gen(function*() {
        const message = yield* messageOf(json)
        assert.match(message, /^t\.json: /)
        assert.match(message, pattern)
      }))
  }

  it.effect("the whole one can be used, and has neither a beginning nor an end of its own", () =>
    Effect.gen(function*() {
      const processed = {
        ...whole,
        added_tokens: [{ id: 257, content: "<s>", special: true }],
        post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: { id: "<s>", type_id: 0 } }] }
      }
      const definition = yield* TokenizerFile.parse(processed, "t.json", { bos: "<s>" })
      const tokenizer = yield* ByteLevelBpe.make(definition)
      assert.deepStrictEqual(Array.from(tokenizer.encode("he")), [256])
      assert.strictEqual(tokenizer.roles.bos, 257)
      assert.strictEqual(tokenizer.tokenOf(256), "he")
    }))

  it.effect("a folder is read, written with its new tokens and read again; a bad one is named", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped()
      const nothing = yield* Effect.flip(TokenizerFile.read(path.join(folder, "absent")))
      assert.match(nothing.message, /absent cannot be read: ENOENT/)
      assert.match((yield* Effect.flip(TokenizerFile.read(folder))).message, /neither tokenizer.json nor/)
      yield* fs.writeFileString(path.join(folder, "vocab.json"), JSON.stringify(vocab))
      yield* fs.writeFileString(path.join(folder, "merges.txt"), "#version: 0.2\nh e\n")
      assert.match((yield* Effect.flip(TokenizerFile.read(folder))).message, /tokenizer_class is missing.*gpt2/)
      const read = yield* TokenizerFile.read(folder, { family: "gpt2" })
      yield* TokenizerFile.write(folder, TokenizerFile.extend(read, ["<b_1>", "<a_1>", "<b_1>"]))
      const own = yield* TextTokenizer.TextTokenizer.pipe(
        Effect.provide(TextTokenizer.TextTokenizer.layer(folder, ["<a_1>", "<c_1>"]))
      )
      assert.deepStrictEqual(Array.from(own.encode("<a_1><b_1><c_1>he")), [258, 257, 259, 256])
      yield* fs.writeFileString(path.join(folder, "tokenizer.json"), "{")
      assert.match(
        (yield* Effect.flip(TokenizerFile.read(folder))).message,
        /tokenizer.json cannot be read: it is no JSON/
      )
    }).pipe(Effect.provide(NodeServices.layer)))
})
