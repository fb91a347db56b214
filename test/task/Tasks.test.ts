import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as LetterFolder from "../../src/catalog/format/LetterFolder.ts"
import type * as Prompt from "../../src/policy/Prompt.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as ItemTexts from "../../src/task/ItemTexts.ts"
import * as Mixture from "../../src/task/Mixture.ts"
import * as Preferences from "../../src/task/Preferences.ts"
import * as Rows from "../../src/task/Rows.ts"
import * as Tasks from "../../src/task/Tasks.ts"
import * as Template from "../../src/task/Template.ts"
import { data, json, list } from "../Golden.ts"

const item = (key: string, title: string, description = "") => ({ key, title, description, brand: "", categories: [] })
const items = [
  item("k0", "Red tape", "['Sticks.', '  ', 'Sticks for very long.']"),
  item("k1", "Blue tape", "plain words"),
  item("k2", "Red tape"),
  item("k3", "k3", "[]"),
  item("k4", "Five \"8\" bolt", "[\"it's\", 'x']")
]
const texts = ItemTexts.ofItems(items, "office products")
// The SID of item 1 begins that of item 3, and item 4 shares that of item 0.
const sids = [[1, 2, 3], [4, 5], [7, 8, 9, 1], [4, 5, 6], [1, 2, 3]].map((codes) => Int32Array.from(codes))
const sequences = [[0, 1, 2, 4], [1], [], [4, 0]].map((list) => Int32Array.from(list))

const written = (segments: ReadonlyArray<Prompt.Segment>) =>
  segments.map((one) => typeof one === "string" ? one : SidIndex.format(sids[one.item]!)).join("")

const config = (settings: unknown) => Schema.decodeUnknownEffect(Tasks.TasksConfig, { errors: "all" })(settings)

describe("templates", () => {
  const row = { history: Int32Array.of(1, 4), item: 2, preference: "likes tape" }

  it("a task asks in one wording, and answers with the whole SID, the title or the description", () => {
    const expected: Record<string, readonly [RegExp, string]> = {
      "history-to-sid": [/items <a_4><b_5>, <a_1><b_2><c_3> in chronological/, "<a_7><b_8><c_9><d_1>"],
      "title-to-sid": [/title: Red tape\?/, "<a_7><b_8><c_9><d_1>"],
      "sid-to-title": [/item "<a_7><b_8><c_9><d_1>"\?/, "Red tape"],
      "history-to-title": [/items <a_4><b_5>, <a_1>.*title/, "Red tape"],
      "titles-to-sid": [/order: "Blue tape", "Five "8" bolt"\./, "<a_7><b_8><c_9><d_1>"],
      "titles-to-title": [/order: "Blue tape", "Five "8" bolt"\..*title/, "Red tape"],
      "history-to-preference": [
        /preferences and predict/,
        "### Reasoning:\nlikes tape\n### Response:\n<a_7><b_8><c_9><d_1>"
      ],
      "preference-to-sid": [/### Reasoning:\nlikes tape\nCan you predict/, "<a_7><b_8><c_9><d_1>"]
    }
    const without = ["history-to-description", "description-to-sid"]
    assert.sameMembers(Tasks.all.map(({ name }) => name), [...Object.keys(expected), ...without])
    for (const template of Tasks.all) {
      const wordings = (["training", "rl", "evaluation"] as const).map((phase) =>
        Template.example(template, row, texts, { phase })
      )
      assert.deepStrictEqual(wordings[1], wordings[0], template.name)
      assert.deepStrictEqual(wordings[2], wordings[0], template.name)
      const [pattern, answer] = expected[template.name] ?? []
      if (pattern === undefined) {
        assert.isUndefined(wordings[0], `${template.name}: item 2 has no description`)
        continue
      }
      const { prompt, answer: found, weight } = wordings[0]!
      assert.strictEqual(weight, 1)
      assert(prompt._tag === "Text" && found !== "every-position")
      assert.strictEqual(prompt.task, template.name)
      assert.match(written(prompt.segments), pattern)
      assert.match(written(prompt.segments), /^### User Input: \n[\s\S]*\n\n### Response:\n$/)
      assert.notInclude(written(prompt.segments), answer!)
      assert.strictEqual(written(found), answer)
    }
  })

  it("a row without the text that a task shows makes no example", () => {
    const find = (name: string) => Tasks.all.find((one) => one.name === name)!
    const fill = (name: string, part: Partial<Template.Row>) => Template.fill(find(name), { ...row, ...part }, texts)
    assert.isUndefined(fill("title-to-sid", { item: 3 }))
    assert.isUndefined(fill("titles-to-sid", { history: Int32Array.of(0, 3) }))
    assert.isUndefined(fill("history-to-sid", { history: new Int32Array() }))
    assert.isUndefined(fill("preference-to-sid", { preference: " " }))
    assert.strictEqual(written(fill("history-to-description", { item: 0 })!.answer), "Sticks. Sticks for very long.")
    assert.strictEqual(written(fill("history-to-description", { item: 1 })!.answer), "plain words")
  })

  it("the original chooses a part of a printed list as its classes do", () => {
    const of = (at: number, lists: ItemTexts.Lists) => texts.description(at, lists)
    assert.deepStrictEqual([of(0, "first"), of(0, "longest")], ["Sticks.", "Sticks for very long."])
    assert.deepStrictEqual([of(4, "first"), of(4, "longest")], ["[\"it's\", 'x']", "it's"])
    assert.deepStrictEqual([of(2, "first"), of(2, "longest")], ["", "Red tape"])
  })

  it("the original draws one of eleven instructions for each row, by its key", () => {
    const template = Tasks.all.find(({ name }) => name === "titles-to-title")!
    const make = (key: number) =>
      written(Template.fill(template, row, texts, { prompts: "original", key: [1, key] })!.prompt)
    const made = Array.from({ length: 200 }, (_, key) => make(key))
    assert.deepStrictEqual(made, Array.from({ length: 200 }, (_, key) => make(key)))
    assert.strictEqual(new Set(made).size, 11)
    for (const text of made) {
      assert.match(text, /request\. \n\n### Instruction:\n[^\n]+\n \n### User Input: \n/)
      assert.include(
        text,
        "The user has palyed the following office productss before: \"Blue tape\",\t\"Five \"8\" bolt\""
      )
    }
    const tested = Template.fill(template, row, texts, { prompts: "original", phase: "evaluation", beginning: "<s>" })!
    assert.strictEqual(tested.prompt[0], "<s>")
    assert.match(written(tested.prompt), /[^\n]\n\n### User Input/)
    assert.strictEqual(written(tested.answer), "\"Red tape\"\n")
  })
})

describe("rows", () => {
  it("are every event but the first of each user, with the latest items before it", () => {
    const rows = Rows.ofSequences(sequences, 2)
    const all = Array.from({ length: rows.count }, (_, i) => rows.at(i))
    assert.deepStrictEqual(all.map((one) => [...one.history, one.item]), [[0, 1], [0, 1, 2], [1, 2, 4], [4, 0]])
    const examples = Rows.ofExamples([{ history: Int32Array.of(1, 2, 3), target: 0 }], 2)
    assert.deepStrictEqual(examples.at(0), { history: Int32Array.of(2, 3), item: 0 })
  })

  it("ask once for each title, SID or description, of the last item that has it", () => {
    const asked = (name: string, prompts: "aligned" | "original" = "aligned") => {
      const rows = Rows.ofItems(Tasks.all.find((one) => one.name === name)!, sids, texts, { prompts, phase: "rl" })
      return Array.from({ length: rows.count }, (_, i) => rows.at(i).item)
    }
    assert.deepStrictEqual(asked("title-to-sid"), [2, 1, 4])
    assert.deepStrictEqual(asked("sid-to-title"), [4, 1, 2, 3])
    assert.deepStrictEqual(asked("description-to-sid"), [0, 1, 3, 4])
    assert.deepStrictEqual(asked("description-to-sid", "original"), [0, 1, 2, 3, 4])
  })

  const folder = join(data, "minionerec-industrial")
  const names = list(folder)
  it.effect("are as many as MiniOneRec's, on its own data", (context) =>
    Effect.gen(function*() {
      if (!existsSync(folder)) return context.skip(`${folder} is absent`)
      const read = yield* LetterFolder.readItems(join(folder, names.find((name) => name.endsWith(".item.json"))!))
      const index = yield* SidIndex.fromJson(json(folder, names.find((name) => name.endsWith(".index.json"))!))
      const own = ItemTexts.ofItems(read)
      const counts = ["sid-to-title", "title-to-sid", "description-to-sid"].map((name) =>
        Rows.ofItems(Tasks.all.find((one) => one.name === name)!, index.sids, own, { prompts: "original", phase: "rl" })
          .count
      )
      assert.deepStrictEqual(counts, [3670, 3646, 2870])
    }).pipe(Effect.provide(NodeServices.layer)))
})

describe("mixtures", () => {
  const sources = (settings: unknown) =>
    Effect.flatMap(config(settings), (decoded) => Mixture.sourcesOf(decoded, { sequences, sids, texts }))

  it.effect("are functions of seed and epoch, and give every row its share over the epochs", () =>
    Effect.gen(function*() {
      const mixed = yield* sources({ weights: { "history-to-sid": 2, "title-to-sid": 0.5, "sid-to-title": 0 } })
      assert.deepStrictEqual(mixed.map(({ rows }) => rows.count), [4, 3])
      const epochs = Array.from({ length: 6 }, (_, epoch) => Mixture.draw(mixed, 7, epoch))
      assert.deepStrictEqual(epochs[3], Mixture.draw(mixed, 7, 3))
      assert.notDeepEqual(epochs[3], Mixture.draw(mixed, 8, 3))
      assert.notDeepEqual(epochs[3], epochs[4])
      const counts = mixed.map(({ rows }) => Array.from({ length: rows.count }, () => 0))
      for (const { row, source } of epochs.flat()) counts[source]![row]!++
      assert.deepStrictEqual(counts, [[12, 12, 12, 12], [3, 3, 3]])
      const order = epochs.map((epoch) => epoch.map(({ source }) => source).join(""))
      assert.isAbove(new Set(order).size, 1)
    }))

  it.effect("make examples with their task, and leave out rows without the text", () =>
    Effect.gen(function*() {
      const mixed = yield* sources({ weights: { "titles-to-sid": 1, "sid-to-title": 1 } })
      const made = yield* Mixture.examples(mixed, texts, {}, 1, 0)
      assert.strictEqual(made.length, 4 + 3)
      const tasks = made.map(({ prompt }) => prompt._tag === "Text" ? prompt.task : "")
      assert.strictEqual(tasks.filter((task) => task === "sid-to-title").length, 3)
    }))

  it.effect("fail for a task that is unknown, or has no rows", () =>
    Effect.gen(function*() {
      const message = (weights: unknown) => Effect.map(Effect.flip(config({ weights })), (error) => error.message)
      assert.match(yield* message({ "history-to-sids": 1 }), /history-to-sid, title-to-sid.*\n.*"history-to-sids"/)
      assert.match(yield* message({ "title-to-sid": -1 }), /greater than or equal to 0\n.*"title-to-sid"/)
      assert.match((yield* Effect.flip(Tasks.find("x"))).message, /no task "x"; the tasks are history-to-sid/)
      const empty = yield* Effect.flip(sources({ weights: { "preference-to-sid": 1 } }))
      assert.match(empty.message, /tasks preference-to-sid; set their weight to 0/)
      const nameless = Rows.ofList([{ history: Int32Array.of(3), item: 3 }])
      const template = Tasks.all.find(({ name }) => name === "titles-to-title")!
      const made = Mixture.examples([{ template, rows: nameless, weight: 1 }], texts, {}, 1, 0)
      assert.match((yield* Effect.flip(made)).message, /titles-to-title/)
    }))
})

describe("preferences", () => {
  const numberOf = (key: string) => items.findIndex((one) => one.key === key)
  const known = (key: string) => numberOf(key) < 0 ? undefined : numberOf(key)
  const entry = (history: ReadonlyArray<unknown>, target?: unknown, split = "train") => ({
    user: "u",
    split,
    user_preference: "tape",
    context: { history_items: history, ...(target === undefined ? {} : { target_item: target }) }
  })
  const entries = [entry(["k0", "k1"], "k2"), entry(["k0"], "k1", "valid"), entry(["k4"]), entry(["k1", "k4"])]

  it.effect("are read from an array or from lines; other splits and single items are left out", () =>
    Effect.gen(function*() {
      const expected = [
        { history: Int32Array.of(0, 1), item: 2, preference: "tape" },
        { history: Int32Array.of(1), item: 4, preference: "tape" }
      ]
      const lines = entries.map((one) => JSON.stringify(one)).join("\n\n")
      assert.deepStrictEqual(yield* Preferences.parse(JSON.stringify(entries), "p.json", known), expected)
      assert.deepStrictEqual(yield* Preferences.parse(lines, "p.jsonl", known), expected)
    }))

  it.effect("name the file, the entry and the value that is wrong", () =>
    Effect.gen(function*() {
      const message = (text: string) =>
        Effect.map(Effect.flip(Preferences.parse(text, "p.json", known)), (error) => error.message)
      assert.match(yield* message(JSON.stringify([entries[0], entry(["k0"], "k9")])), /^p\.json, entry 2: .* is "k9"/)
      assert.match(yield* message("{}\n{\"a\""), /entry 2: the line is "\{/)
      assert.match(yield* message("[3]"), /entry 1: the entry is 3/)
      assert.match(yield* message("[{\"split\":\"train\"}]"), /entry 1: context is missing/)
      const numbers = [{ ...entries[0], user_preference: 7 }]
      assert.match(yield* message(JSON.stringify(numbers)), /entry 1: user_preference is 7/)
    }))
})
