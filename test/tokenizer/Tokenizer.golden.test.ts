import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as ByteLevelBpe from "../../src/tokenizer/ByteLevelBpe.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"
import { golden, json, list, models } from "../Golden.ts"
import * as Published from "./Published.ts"

interface Case {
  readonly text: string
  readonly ids: ReadonlyArray<number>
  readonly idsWithoutSidTokens?: ReadonlyArray<number>
  readonly decoded?: string
  readonly decodedSkippingSpecial?: string
}

const check = (tokenizer: ByteLevelBpe.Tokenizer, bare: ByteLevelBpe.Tokenizer, strings: ReadonlyArray<Case>) => {
  for (const { decoded, decodedSkippingSpecial, ids, idsWithoutSidTokens = ids, text } of strings) {
    const what = JSON.stringify(text)
    assert.deepStrictEqual(Array.from(tokenizer.encode(text)), ids, what)
    assert.deepStrictEqual(Array.from(bare.encode(text)), idsWithoutSidTokens, what)
    assert.strictEqual(tokenizer.decode(ids), decoded ?? text, what)
    assert.strictEqual(tokenizer.decode(ids, { skipSpecial: true }), decodedSkippingSpecial ?? decoded ?? text, what)
  }
}

describe("golden tokenizers", () => {
  if (Published.names.length === 0) it.skipIf(true)("no golden tokenizer was found", () => {})
  for (const name of Published.names) {
    const { partialDecoding, strings, vocabulary } = Published.file(name, "strings")
    it.effect(`${name}: ids and decoding of ${strings.length} strings, and of characters cut short`, (context) =>
      Effect.gen(function*() {
        const found = yield* Published.definition(name)
        if (found === undefined) return context.skip("no tokenizer.json")
        const tokenizer = yield* ByteLevelBpe.make(found.named)
        check(tokenizer, yield* ByteLevelBpe.make(found.bare), strings)
        for (const { decoded, ids } of partialDecoding) assert.strictEqual(tokenizer.decode(ids), decoded)
        assert.strictEqual(tokenizer.size, vocabulary.length)
        assert.strictEqual(TokenizerFile.size(found.bare), vocabulary.lengthBefore)
        assert.strictEqual(tokenizer.roles.eos, vocabulary.eos[1])
        assert.strictEqual(tokenizer.roles.bos ?? null, vocabulary.bos)
        assert.deepStrictEqual(Array.from(tokenizer.encode("### Response:\n")), vocabulary.responseHeaderIds)
        assert.deepStrictEqual(Array.from(tokenizer.encode("\n")), vocabulary.newlineIds)
        assert.deepStrictEqual(Array.from(tokenizer.encode(", ")), vocabulary.separatorIds)
      }))

    it.effect(`${name}: the same from vocab and merges, without tokenizer.json`, (context) =>
      Effect.gen(function*() {
        const found = yield* Published.definition(name)
        if (found === undefined || !existsSync(join(models, name))) return context.skip(`no folder ${name} of models`)
        const plain = yield* TokenizerFile.read(join(models, name))
        const special = found.bare.added.filter(({ content }) =>
          !plain.added.some((token) => token.content === content)
        )
        const bare = { ...plain, added: [...plain.added, ...special] }
        const tokenizer = yield* ByteLevelBpe.make(TokenizerFile.extend(bare, found.sidTokens))
        check(tokenizer, yield* ByteLevelBpe.make(bare), strings)
        // A role is read from tokenizer_config.json where the folder has one.
        if (plain.roles.eos !== undefined) assert.strictEqual(tokenizer.roles.eos, vocabulary.eos[1])
      }).pipe(Effect.provide(NodeServices.layer)))
  }
})

describe("the tokenizer of a golden model", () => {
  const beam = join(golden, "lm", "beam")
  const cases = list(beam).filter((name) => /^\d.*\.json$/.test(name))
  it.effect(`reads the prompts of ${cases.length} searches from its folder`, (context) =>
    Effect.gen(function*() {
      if (cases.length === 0) return context.skip("no golden search was found")
      const own = yield* ByteLevelBpe.make(yield* TokenizerFile.read(join(beam, "model")))
      const { eosId, headerIds, newlineId } = json(beam, "catalogues.json")
      assert.strictEqual(own.roles.eos, eosId)
      assert.deepStrictEqual(Array.from(own.encode("### Response:\n")), headerIds)
      assert.deepStrictEqual(Array.from(own.encode("\n")), [newlineId])
      for (const name of cases) {
        for (const { beams, promptIds, text } of json(beam, name).prompts) {
          assert.deepStrictEqual(Array.from(own.encode(text)), promptIds)
          for (const { sid, tokens, valid } of beams) {
            if (valid) assert.strictEqual(own.decode(tokens, { skipSpecial: true }), `${sid}\n`)
          }
        }
      }
    }).pipe(Effect.provide(NodeServices.layer)))
})
