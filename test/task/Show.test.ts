import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SidTokens from "../../src/policy/text/SidTokens.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as ItemTexts from "../../src/task/ItemTexts.ts"
import * as Show from "../../src/task/Show.ts"
import * as Tasks from "../../src/task/Tasks.ts"
import * as Template from "../../src/task/Template.ts"
import * as ByteAlphabet from "../../src/tokenizer/ByteAlphabet.ts"
import * as ByteLevelBpe from "../../src/tokenizer/ByteLevelBpe.ts"
import * as TokenizerFile from "../../src/tokenizer/TokenizerFile.ts"

// The SID of item 0 begins that of item 1.
const index = SidIndex.make([Int32Array.of(1, 2), Int32Array.of(1, 2, 3)], [2, 3, 4], "given")
const item = (key: string, title: string) => ({ key, title, description: "", brand: "", categories: [] })
const texts = ItemTexts.ofItems([item("a", "Red \u001b[31mtape"), item("b", "Blue tape")])

describe("examples in a terminal", () => {
  const codec = Effect.gen(function*() {
    const bytes = Object.fromEntries(ByteAlphabet.characters.map((token, id) => [token, id]))
    const bare = yield* TokenizerFile.parse(TokenizerFile.assemble(bytes, "", "gpt2"))
    const tokenizer = yield* ByteLevelBpe.make(TokenizerFile.extend(bare, SidTokens.vocabulary(index.sids)))
    return { tokenizer, sids: yield* SidTokens.make(tokenizer, index) }
  })
  const example = (name: string, item: number) =>
    Template.example(Tasks.all.find((one) => one.name === name)!, { history: Int32Array.of(0), item }, texts)!

  it.effect("the answer is marked, in colour or by brackets, with its number of tokens", () =>
    Effect.gen(function*() {
      const spans = Show.ofText(yield* codec, example("title-to-sid", 1), {})
      const prompt = "### User Input: \nWhich item has the title: Blue tape?\n\n### Response:\n"
      assert.strictEqual(Show.render(spans, { colour: false }), `${prompt}[[<a_1><b_2><c_3>]]`)
      assert.strictEqual(Show.render(spans, { colour: true }), `${prompt}\u001b[1;32m<a_1><b_2><c_3>\u001b[0m`)
      assert.strictEqual(
        Show.caption("title-to-sid", spans),
        `title-to-sid: ${prompt.length + 3} tokens, 3 with a loss`
      )
    }))

  it.effect("an end token is marked with the answer, and a cut example shows what is left", () =>
    Effect.gen(function*() {
      const own = yield* codec
      const spans = Show.ofText(own, example("title-to-sid", 1), { end: own.tokenizer.idOf("!")!, maximum: 6 })
      assert.strictEqual(Show.render(spans, { colour: false }), ":\n[[<a_1><b_2><c_3>!]]")
    }))

  it.effect("escapes in a title cannot reach the terminal", () =>
    Effect.gen(function*() {
      const shown = Show.render(Show.ofText(yield* codec, example("sid-to-title", 0)), { colour: true })
      assert.include(shown, "\u001b[1;32mRed \\x1b[31mtape\u001b[0m")
    }))

  it("every code of a sequence is a target, and the end of a SID that begins another", () => {
    const spans = Show.ofItems(index, Int32Array.of(1, 0))
    assert.strictEqual(Show.render(spans, { colour: false }), "<begin>[[<a_1><b_2><c_3><a_1><b_2><end>]]")
    assert.strictEqual(Show.caption("history", spans), "history: 7 tokens, 6 with a loss")
  })

  it("colours need a terminal without NO_COLOR", () => {
    assert.isTrue(Show.takesColour({ isTTY: true }, undefined))
    assert.isTrue(Show.takesColour({ isTTY: true }, ""))
    assert.isFalse(Show.takesColour({ isTTY: true }, "1"))
    assert.isFalse(Show.takesColour({}, undefined))
  })
})
