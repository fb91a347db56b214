import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestConsole from "effect/testing/TestConsole"
import * as Output from "../../programs/Output.ts"

const title = "red \u001b[31mANSI\u202e\nmug"

describe("Output", () => {
  it.effect("prints results and notes without raw characters of control", () =>
    Effect.gen(function*() {
      yield* Output.result({ title }, `one\n${title}`)
      yield* Output.result({ title }, "").pipe(Effect.provideService(Output.AsJson, true))
      yield* Output.note(title)
      const [text, json] = (yield* TestConsole.logLines) as ReadonlyArray<string>
      assert.strictEqual(text, "one\nred \\x1b[31mANSI\\u202e\nmug")
      assert.strictEqual(json, `{"title":"red \\u001b[31mANSI\\u202e\\nmug"}`)
      assert.deepStrictEqual(JSON.parse(json!), { title })
      assert.deepStrictEqual(yield* TestConsole.errorLines, ["red \\x1b[31mANSI\\u202e\nmug"])
    }))

  it("prints a title in one line, and says when nothing is left to recommend", () => {
    const ranked = { model: "sft", weight: 0, reason: "as asked" }
    const recommendations = [{ item: "m", title, probability: 0.25, score: Math.log(0.25), sid: "<a_1>" }]
    assert.strictEqual(
      Output.describeAnswer({ history: [title], ...ranked, recommendations }),
      "After 1 item(s), the last being \"red \\x1b[31mANSI\\u202e mug\":\n" +
        "Ranked by sft: as asked\n" +
        "  1.  25.00 %  red \\x1b[31mANSI\\u202e mug  <a_1>"
    )
    const none = Output.describeAnswer({
      history: ["mug"],
      model: "sft + item-knn",
      weight: 4,
      reason: "as asked",
      recommendations: []
    })
    assert.include(none, "nothing is left to recommend")
    assert.include(none, "Ranked by sft + item-knn (weight 4): as asked")
  })
})
