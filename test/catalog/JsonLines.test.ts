import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { gzipSync } from "node:zlib"
import * as JsonLines from "../../src/catalog/reader/JsonLines.ts"
import * as JsonText from "../../src/catalog/reader/JsonText.ts"
import * as Malformed from "../../src/catalog/reader/Malformed.ts"
import * as PythonLiteral from "../../src/catalog/reader/PythonLiteral.ts"
import { utf16, written } from "./Written.ts"

type Row = Readonly<Record<string, unknown>>

/** Rows of a text with their lines, and what is told of the others. */
const read = (content: string | Uint8Array, name = "e.json") =>
  Effect.gen(function*() {
    const file = yield* written(name, content)
    const tally = new Malformed.Tally(file)
    const rows: Array<Row> = []
    const lines: Array<number> = []
    yield* JsonLines.forEach(file, tally, (row, line) => {
      rows.push(row)
      lines.push(line)
    })
    const { malformed, problems } = tally.findings
    return {
      rows,
      lines,
      bad: malformed.map(({ line, problem }) => `${line}: ${problem}`),
      count: tally.rows,
      problems,
      columns: [...new Set((yield* JsonLines.head(file)).flatMap((row) => Object.keys(row)))]
    }
  })

const plain = [
  { user: "u1", item: "i1", time: 1, more: { list: [{ a: 1 }, "}]"], text: "a \"quoted\" {word}\\" } },
  { user: "u1", item: "i2", time: 2, more: null },
  { user: "u2", item: "\u4e16\u754c \u00e9", time: 3.5, more: [] },
  { user: "u3", item: "a,b", time: -4, more: "" }
] as const

const fields = ["user", "item", "time"] as const
const cells = plain.map((row) => fields.map((field) => row[field]))
const named = plain.map(({ item, time, user }) => ({ user, item, time }))
const pretty = (value: unknown, indent: number | string = 2) => JSON.stringify(value, null, indent)

/** Ways to write the same rows. */
const shapes: Readonly<Record<string, readonly [text: string, rows: ReadonlyArray<Row>]>> = {
  "one a line": [plain.map((row) => JSON.stringify(row)).join("\n"), plain],
  "one a line, blank lines between": [plain.map((row) => `${JSON.stringify(row)}\n\n`).join(""), plain],
  "one a line, commas after": [plain.map((row) => JSON.stringify(row)).join(",\n"), plain],
  "one alone": [JSON.stringify(plain[0]), plain.slice(0, 1)],
  "one alone, over lines": [pretty(named[0]), named.slice(0, 1)],
  "over several lines": [plain.map((row) => pretty(row)).join("\n"), plain],
  "over several lines without indentation": [
    plain.map((row) => pretty(row, "\t").replaceAll("\t", "")).join("\n"),
    plain
  ],
  "one after the other": [plain.map((row) => JSON.stringify(row)).join(""), plain],
  "one after the other with spaces": [plain.map((row) => JSON.stringify(row)).join(" "), plain],
  "a list in one line": [JSON.stringify(plain), plain],
  "a list, pretty": [pretty(plain), plain],
  "a list, pretty with tabs": [pretty(plain, "\t"), plain],
  "a list, one a line": [`[\n${plain.map((row) => JSON.stringify(row)).join(",\n")}\n]`, plain],
  "a list a line": [
    `${JSON.stringify(plain.slice(0, 2))}\n${JSON.stringify(plain.slice(2))}\n`,
    plain
  ],
  "in data": [JSON.stringify({ data: plain }), plain],
  "in results, pretty, among others": [pretty({ count: 4, next: null, tags: ["a"], results: plain, ok: true }), plain],
  "in the only list of any name": [JSON.stringify({ version: { of: [1] }, purchases: plain, date: "x" }), plain],
  "in events beside users": [JSON.stringify({ users: plain.toReversed(), events: plain }), plain],
  "in the longest of two lists": [JSON.stringify({ a: [{ x: 1 }], b: plain }), plain],
  "in data, one a line": [`{"data": [\n${plain.map((row) => JSON.stringify(row)).join(",\n")}\n]}`, plain],
  "cells below a header": [JSON.stringify([fields, ...cells]), named],
  "cells below a header, pretty": [pretty([fields, ...cells]), named],
  "cells below a header, a list a line": [[fields, ...cells].map((row) => JSON.stringify(row)).join("\n"), named],
  "cells without a header": [JSON.stringify(cells), cells.map((row) => ({ ...row }))],
  "cells of texts below a header": [
    JSON.stringify([["user", "item"], ["u1", "i1"], ["u2", "i2"]]),
    [{ user: "u1", item: "i1" }, { user: "u2", item: "i2" }]
  ],
  "cells of texts without a header": [
    JSON.stringify([["u1", "i1"], ["u2", "i2"]]),
    [{ 0: "u1", 1: "i1" }, { 0: "u2", 1: "i2" }]
  ],
  "pandas' split": [JSON.stringify({ columns: fields, index: [0, 1, 2, 3], data: cells }), named],
  "pandas' columns": [
    JSON.stringify(Object.fromEntries(fields.map((field) => [field, { ...plain.map((row) => row[field]) }]))),
    named
  ],
  "lists by column": [
    JSON.stringify(Object.fromEntries(fields.map((field) => [field, plain.map((row) => row[field])]))),
    named
  ],
  "objects by key": [
    JSON.stringify(Object.fromEntries(plain.map((row, i) => [`k${i}`, row]))),
    plain.map((row, i) => ({ [JsonText.keyField]: `k${i}`, ...row }))
  ],
  "objects by key, pretty": [
    pretty(Object.fromEntries(plain.map((row, i) => [`k${i}`, row]))),
    plain.map((row, i) => ({ [JsonText.keyField]: `k${i}`, ...row }))
  ],
  "objects by key in data": [
    JSON.stringify({ data: Object.fromEntries(plain.map((row, i) => [`k${i}`, row])) }),
    plain.map((row, i) => ({ [JsonText.keyField]: `k${i}`, ...row }))
  ],
  "lists by key": [
    JSON.stringify({ u1: ["i1", "i2"], u2: ["i3"] }),
    [{ [JsonText.keyField]: "u1", [JsonText.valueField]: ["i1", "i2"] }, {
      [JsonText.keyField]: "u2",
      [JsonText.valueField]: ["i3"]
    }]
  ],
  "Python's literals, one a line": [plain.map((row) => PythonLiteral.print(row)).join("\n"), plain],
  "a list of Python's": [PythonLiteral.print(plain), plain],
  "an empty list": ["[]", []],
  "nothing": ["", []]
}

describe("shapes of JSON", () => {
  for (const [what, [text, rows]] of Object.entries(shapes)) {
    it.effect(`${what}: plain, gzipped, with CRLF, in UTF-16, with a mark`, () =>
      Effect.gen(function*() {
        const ways = [
          text,
          `\ufeff${text}\n`,
          text.replaceAll("\n", "\r\n"),
          text.replaceAll("\n", "\r"),
          utf16(text, "le", true),
          utf16(text, "be", false),
          gzipSync(text)
        ]
        // What is nothing has no byte that would tell UTF-16.
        for (const content of text.length < 3 ? ways.slice(0, 4) : ways) {
          const found = yield* read(content)
          assert.deepStrictEqual(found.rows, rows)
          assert.deepStrictEqual([found.bad, found.count], [[], rows.length])
          assert.deepStrictEqual(found.columns, [...new Set(rows.flatMap((row) => Object.keys(row)))])
        }
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
  }

  it.effect("records are told by the lines on which they begin", () =>
    Effect.gen(function*() {
      const lines = function*(text: string) {
        return (yield* read(text)).lines
      }
      assert.deepStrictEqual(yield* lines("{\"a\":1}\n\n{\"a\":2}\n"), [1, 3])
      assert.deepStrictEqual(yield* lines("[\n  {\n \"a\": 1\n },\n\n{\"a\": 2}, {\"a\": 3}\n]"), [2, 6, 6])
      assert.deepStrictEqual(yield* lines("{\"a\":\n1}\n{\n\"a\": 2}"), [1, 3])
      assert.deepStrictEqual(yield* lines("{\"data\":\n[{\"a\":1},\n{\"a\":2}]}"), [2, 3])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

describe("values of JSON", () => {
  it.effect("integers beyond 2^53 keep their digits, wherever they stand", () =>
    Effect.gen(function*() {
      const text = "{\"user\": 12345678901234567890, \"item\": -9007199254740993, \"list\": [18014398509481985.0], " +
        "\"text\": \"90071992547409931 is no id\", \"safe\": 9007199254740991, \"time\": 1500000000123456, " +
        "\"real\": 0.12345678901234567890, \"large\": 1e300, \"whole\": 10.0}"
      const expected = {
        user: "12345678901234567890",
        item: "-9007199254740993",
        list: ["18014398509481985"],
        text: "90071992547409931 is no id",
        safe: 9007199254740991,
        time: 1500000000123456,
        real: 0.12345678901234568,
        large: 1e300,
        whole: 10
      }
      for (
        const way of [text, `[${text}]`, `{"data": [${text}]}`, text.replaceAll("\"", "'"), text.replace("10.0", "NaN")]
      ) {
        const { rows } = yield* read(way)
        assert.deepStrictEqual(rows, [way.includes("NaN") ? { ...expected, whole: null } : expected])
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("NaN, Infinity and None as Python writes them are no value; the rest of the record stays", () =>
    Effect.gen(function*() {
      const lines = [
        "{\"id\": 1, \"price\": NaN, \"ok\": true, \"brand\": null, \"text\": \"NaN, None\"}",
        "{\"id\": 2, \"price\": -Infinity, \"ok\": True, \"brand\": None, \"text\": \"it's NaN\"}",
        "{'id': 3, 'price': nan, 'ok': True, 'brand': None, 'text': 'NaN, None'}",
        "{'id': 4, 'price': NaN, 'ok': true, 'brand': null, 'text': \"it's NaN\"}",
        "{\"id\": 5, \"price\": [Infinity, 1], \"ok\": true, \"brand\": \"\\\"NaN\", \"text\": \"\"}"
      ]
      const rows = [
        { id: 1, price: null, ok: true, brand: null, text: "NaN, None" },
        { id: 2, price: null, ok: true, brand: null, text: "it's NaN" },
        { id: 3, price: null, ok: true, brand: null, text: "NaN, None" },
        { id: 4, price: null, ok: true, brand: null, text: "it's NaN" },
        { id: 5, price: [null, 1], ok: true, brand: "\"NaN", text: "" }
      ]
      assert.deepStrictEqual((yield* read(lines.join("\n"))).rows, rows)
      assert.deepStrictEqual((yield* read(`[${lines.join(",\n")}]`)).rows, rows)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("names of Object's own, keys twice, leading zeros", () =>
    Effect.gen(function*() {
      const keys = ["__proto__", "constructor", "toString", "length"]
      const text = keys.map((key) => `{"user": "${key}", "item": "${key}", "${key}": {"polluted": true}}`).join("\n")
      for (const way of [text, `[${text.replaceAll("\n", ",")}]`]) {
        const { rows } = yield* read(way)
        assert.deepStrictEqual(rows.map(({ item, user }) => [user, item]), keys.map((key) => [key, key]))
        assert.deepStrictEqual(rows.map((row) => Object.keys(row)), keys.map((key) => ["user", "item", key]))
        assert.isUndefined(({} as { polluted?: boolean }).polluted)
      }
      const keyed = yield* read(`{${keys.map((key) => `"${key}": {"title": "t"}`).join()}}`)
      assert.deepStrictEqual(
        keyed.rows.map((row) => [row[JsonText.keyField], row["title"]]),
        keys.map((key) => [key, "t"])
      )
      assert.deepStrictEqual((yield* read("{\"a\": 1, \"a\": 2}\n{\"a\": 007}")).rows, [{ a: 2 }, { a: "007" }])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

describe("damaged JSON", () => {
  /** A text, the values of `a` that are read, and what is told. */
  const damaged: Readonly<
    Record<string, readonly [text: string | Uint8Array, values: ReadonlyArray<unknown>, bad: ReadonlyArray<string>]>
  > = {
    "lines that are none": ["{\"a\":1}\nx\n[1]\n\"s\"\n{\"a\":2}\n{\"a\":3}\n", [1, 2, 3], ["2", "3", "4"]],
    "a line that breaks off": ["{\"a\":1}\n{\"a\":2}\n{\"a\": \n{\"a\":4}\n{\"a\": \"x\n{\"a\":6}\n{\"a\"", [
      1,
      2,
      4,
      6
    ], [
      "3",
      "5",
      "7"
    ]],
    "the first line breaks off": ["{\"a\": {\n{\"a\":2}\n{\"a\":3}\n", [2, 3], ["1"]],
    "a line with a bracket too few": ["{\"a\":1}\n{\"a\":[2}\n{\"a\":3}\n{\"a\":4}", [1, 3, 4], ["2"]],
    "a record over several lines": [
      "{\n  \"a\": 1\n}\n{\n  \"a\": \"x,\n  \"b\": 3\n}\n{\n  \"a\": ,\n}\n{\n  \"a\": 4\n}\n",
      [1, 4],
      ["4", "8"]
    ],
    "records of a pretty list": [
      "[\n  {\n    \"a\": 1\n  },\n  {\n    \"a\": [2\n  },\n  {\n    \"a\": \"3\n  },\n  {\n    \"a\": 4\n  }\n]\n",
      [1, 4],
      ["5", "8"]
    ],
    "records of a list, one a line": [
      "[\n{\"a\": 1},\n{\"a\": \"2},\n{\"a\": 3}},\n{\"a\": },\n7,\n{\"a\": 6}\n]\n",
      [1, 3, 6],
      ["3", "4", "5", "6"]
    ],
    "odd bytes in a line": [
      Buffer.concat([
        Buffer.from("{\"a\":1}\n"),
        Buffer.from("{\"a\":\"\u00e9\"}\n", "latin1"),
        Buffer.from("{\"a\":\"\ufffd\"}\n")
      ]),
      [1, "\ufffd"],
      ["2"]
    ],
    "odd bytes in a list": [
      Buffer.concat([
        Buffer.from("[{\"a\":1},\n"),
        Buffer.from("{\"a\":\"\u00e9\"},\n", "latin1"),
        Buffer.from("{\"a\":3}]\n")
      ]),
      [1, 3],
      ["2"]
    ]
  }
  for (const [what, [text, values, bad]] of Object.entries(damaged)) {
    it.effect(`${what}: told by their lines, the others are read`, () =>
      Effect.gen(function*() {
        const found = yield* read(text)
        assert.deepStrictEqual(found.rows.map(({ a }) => a), values)
        assert.deepStrictEqual(found.bad.map((one) => one.split(":")[0]!), [...bad])
        const told = typeof text === "string" ? ": not a JSON object" : `: ${Malformed.problems.encoding}`
        for (const one of found.bad) assert.include(one, told)
        assert.strictEqual(found.count, values.length + bad.length)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
  }

  it.effect("a list that breaks off is an error, and so is one whose damage swallows the rest", () =>
    Effect.gen(function*() {
      const text = JSON.stringify(plain)
      for (const cut of [text.slice(0, -1), text.slice(0, -9), `{"data": ${text}`, text.replace("\"u2\"", "\"u2")]) {
        const error = yield* Effect.flip(read(cut))
        assert.include(error.message, "line 1 is not closed")
        assert.include(error.message, "damaged or cut off")
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

describe("JsonLines", () => {
  it.effect("events: exact ids, words for nothing, an order of their own in one line", () =>
    Effect.gen(function*() {
      const rows = [
        "{\"u\": 12345678901234567890, \"i\": \"a\", \"r\": 4}",
        "{\"u\": 12345678901234567891, \"i\": 10.0, \"r\": \"NULL\"}",
        "{\"u\": \"NULL\", \"i\": \"a\", \"r\": 1}",
        "{\"u\": \"x\", \"i\": \"\\\\N\", \"r\": 1}",
        "{\"u\": \"x\", \"i\": NaN, \"r\": 1}",
        "{\"u\": \"x\", \"i\": \"b\", \"r\": NaN}",
        "{\"u\": \"x\", \"i\": \"b\", \"r\": \"good\"}"
      ]
      const file = yield* written("e.json", `[${rows.join()}]`)
      const columns = { user: "u", item: "i", rating: "r" }
      const missing = ["NULL", "\\N"]
      const { log, malformed } = yield* JsonLines.events(file, columns, { missing })
      assert.deepStrictEqual(log.userKeys, ["12345678901234567890", "12345678901234567891", "x"])
      assert.deepStrictEqual(log.itemKeys, ["a", "10", "b"])
      assert.deepStrictEqual([...log.times], [0, 1, 2])
      assert.deepStrictEqual([...log.ratings!], [4, Number.NaN, Number.NaN])
      assert.deepStrictEqual(malformed.map(({ problem }) => problem), ["no u", "no i", "no i", "r is not a number"])
      const unrated = yield* JsonLines.events(file, { user: "u", item: "i" }, { missing })
      assert.deepStrictEqual([unrated.log.users.length, unrated.log.ratings], [4, undefined])
      const lax = yield* JsonLines.events(file, { user: "u", item: "i" }, { missing: [] })
      assert.include(lax.log.userKeys, "NULL")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it("looksLikeJson tells by content", () => {
    const json = ["{\"a\":1}", "\ufeff [ {", "[1, 2]", "{'a': 1}", "[[\"u\"", "{\n", "[", "{u'a': 1}", "[null]"]
    const others = ["user,item", "", "[user],item", "{user},item", "1 2 3", "\"a\",\"b\"", "null"]
    for (const text of json) assert.isTrue(JsonLines.looksLikeJson(text), text)
    for (const text of others) assert.isFalse(JsonLines.looksLikeJson(text), text)
  })

  it.effect("a table called .json has no columns", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* read("user,item\nu1,i1\n")).columns, [])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("a list of many pieces", () =>
    Effect.gen(function*() {
      const rows = Array.from(
        { length: 60_000 },
        (_, i) => ({ user: `u${i % 99}`, item: `caf\u00e9 ${i}`, more: [{ i }] })
      )
      for (const content of [JSON.stringify(rows), pretty({ about: "x".repeat(2 << 20), rows })]) {
        const found = yield* read(content)
        assert.strictEqual(found.rows.length, rows.length)
        assert.deepStrictEqual(found.rows, rows)
        assert.deepStrictEqual(found.columns, ["user", "item", "more"])
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

/** A value that JSON keeps. */
const Value = Schema.Union([
  Schema.String,
  Schema.Int,
  Schema.Boolean,
  Schema.Null,
  Schema.Array(Schema.Union([Schema.String, Schema.Int])),
  Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.Int)]))
])

const ways: ReadonlyArray<(rows: ReadonlyArray<Row>, indent: number) => string> = [
  (rows) => rows.map((row) => JSON.stringify(row)).join("\n"),
  (rows, indent) => rows.map((row) => pretty(row, indent)).join("\n"),
  (rows) => rows.map((row) => JSON.stringify(row)).join(""),
  (rows, indent) => pretty(rows, indent),
  (rows, indent) => pretty({ before: "x", data: rows, after: 1 }, indent),
  (rows) => rows.map((row) => PythonLiteral.print(row as unknown as PythonLiteral.PythonValue)).join("\n")
]
const encodings: ReadonlyArray<(text: string) => Buffer> = [
  (text) => Buffer.from(text),
  (text) => Buffer.from(`\ufeff${text}`),
  (text) => utf16(text, "le", true),
  (text) => utf16(text, "be", true)
]
const ends = ["\n", "\r\n", "\r"]

it.effect.prop("random records read back equal in every shape, encoding, line end, plain and gzipped", [
  Schema.Array(Schema.Struct({ user: Schema.String, item: Schema.Int, more: Value })).check(
    Schema.isMinLength(1),
    Schema.isMaxLength(6)
  ),
  Schema.Int,
  Schema.Int
], ([written, pick, other]) =>
  Effect.gen(function*() {
    // What is no whole character cannot be written in UTF-8.
    const rows = JSON.parse(
      JSON.stringify(written).toWellFormed().replaceAll(/\\ud[89a-f][0-9a-f]{2}/gi, "?")
    ) as ReadonlyArray<Row>
    const at = (count: number, by: number) => Math.abs(Math.trunc(pick / by)) % count
    for (const [i, way] of ways.entries()) {
      const text = way(rows, Math.abs(other) % 3).replaceAll("\n", ends[at(ends.length, 1 + i)]!)
      const bytes = encodings[at(encodings.length, 7 + i)]!(text)
      const found = yield* read(at(2, 3 + i) === 0 ? bytes : gzipSync(bytes))
      assert.deepStrictEqual(found.rows, rows)
      assert.deepStrictEqual(found.bad, [])
    }
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), { arbitrary: { runs: 20 } })
