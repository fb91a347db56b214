import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as ByteLevelBpe from "../../src/tokenizer/ByteLevelBpe.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"
import { json } from "../Golden.ts"

const published = json(fileURLToPath(new URL("huggingface.json", import.meta.url)))
const { merges, vocab } = published.gpt2.tokenizer.model

describe("tokenizers of Hugging Face, tiny ones with every option", () => {
  for (const [name, { cases, tokenizer }] of Object.entries<typeof published.gpt2>(published)) {
    it.effect(`${name}: ids and decoding of ${cases.length} texts equal those of the package`, () =>
      Effect.gen(function*() {
        const model = { ...tokenizer.model, vocab, merges: tokenizer.model.merges ?? merges }
        const definition = yield* TokenizerFile.parse({ ...tokenizer, model })
        const own = yield* ByteLevelBpe.make(definition)
        for (const { decoded, ids, skipped, text } of cases) {
          const expected = ids === "" ? [] : ids.split(" ").map(Number)
          assert.deepStrictEqual(Array.from(own.encode(text)), expected, JSON.stringify(text))
          assert.strictEqual(own.decode(expected), decoded)
          assert.strictEqual(own.decode(expected, { skipSpecial: true }), skipped)
        }
        const again = yield* TokenizerFile.parse(JSON.parse(JSON.stringify(TokenizerFile.toJson(definition))))
        assert.deepStrictEqual(again.added, definition.added)
        assert.deepStrictEqual(again.json, definition.json)
      }))
  }
})
