import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { basename } from "node:path"
import { gzipSync } from "node:zlib"
import { type CatalogError } from "../../src/catalog/CatalogError.ts"
import { events } from "../../src/catalog/Dataset.ts"
import * as Import from "../../src/catalog/Import.ts"
import * as EventTime from "../../src/catalog/reader/EventTime.ts"
import * as JsonLines from "../../src/catalog/reader/JsonLines.ts"
import * as Malformed from "../../src/catalog/reader/Malformed.ts"
import { TableReader } from "../../src/catalog/reader/TableReader.ts"
import { csv, failing, good, header, latin1, lax, leftOut, told } from "./BadRows.ts"
import { filter, importing, services } from "./Importing.ts"

/** Files whose rows are all usable in spite of how they look. */
const harmless: Readonly<Record<string, string | Uint8Array>> = {
  "a byte-order mark": `\ufeff${csv()}`,
  "CRLF": csv().replaceAll("\n", "\r\n"),
  "CRLF and a byte-order mark": `\ufeff${csv().replaceAll("\n", "\r\n")}`,
  "LF here and CRLF there": csv().replace("5\n", "5\r\n"),
  "CR alone": csv().replaceAll("\n", "\r"),
  "no line end at the end": csv().trimEnd(),
  "blank lines": csv().replace("p,b", "\n\np,b"),
  "quoted cells": csv().replace("p,b", "\"p\",\"b\""),
  "semicolons": csv().replaceAll(",", ";"),
  "a column named twice that nobody needs": csv().replaceAll(/^(.*)$/gm, (row) => (row === "" ? "" : `${row},x,x`)),
  "empty ratings": csv().replace(/5$/m, ""),
  "a header in capitals": csv().replace("user_id", "USER_ID"),
  "UTF-16": Buffer.from(`\ufeff${csv()}`, "utf16le"),
  "ratings that nobody asked for and that are none": csv().replaceAll(/5$/gm, "4,5 stars").replaceAll(
    /(4,5 stars)/g,
    "\"$1\""
  )
}

describe("tables that look bad and are not", () => {
  for (const [what, content] of Object.entries(harmless)) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const dataset = yield* importing({ "e.csv": content }, "e.csv", { strict: true })
        assert.deepStrictEqual(dataset.userKeys, ["p", "q"])
        assert.deepStrictEqual(dataset.items.map(({ key }) => key), ["a", "b", "c", "d"])
        assert.strictEqual(events(dataset), 8)
        assert.deepStrictEqual(dataset.malformed, [])
      }).pipe(Effect.provide(services)))
  }
})

describe("rows that are no events", () => {
  // Every kind has its turn packed in the long suite.
  leftOut("e.csv")
  leftOut("e.csv.gz", ["bad UTF-8", "too few cells"])

  it.effect("the first five are told, by their lines, though rows span lines, are blank, or do not fit", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "e.csv": csv(
          "p,\"e\nf\",6,5",
          "",
          ",g,7,5",
          "p,h",
          "p,\"i\n\nj\",soon,1",
          "p,k,8,fine",
          "\"l\",,9,1",
          ",,,",
          "p"
        )
      })
      assert.deepStrictEqual(told(dataset), [
        {
          "too few columns": 2,
          "no user_id": 2,
          "timestamp is neither a number nor a date": 1,
          "no item_id": 1
        },
        ["e.csv:13", "e.csv:14", "e.csv:15", "e.csv:18", "e.csv:20"]
      ])
      assert.include(dataset.items.map(({ key }) => key), "e\nf")
    }).pipe(Effect.provide(services)))

  it.effect("a quote that is never closed counts the lines it swallows", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({ "e.csv": csv("p,\"e,9,5", "p,f,9,5", "p,g,9,5") })
      assert.deepStrictEqual(told(dataset), [{ "a quote that is not closed or stands inside a cell": 3 }, ["e.csv:10"]])
    }).pipe(Effect.provide(services)))

  it.effect("in a large file, read by several threads, order and lines hold", () =>
    Effect.gen(function*() {
      const count = 400_000
      const at = (e: number) => e % 100_003 === 7
      const rows = Array.from({ length: count }, (_, e) =>
        at(e) ? `,i${e},${e}` : e % 90_001 === 9 ? `u,i` : `u${e % 3},i${e},${count - e}`)
      const dataset = yield* importing({ "e.csv": `user_id,item_id,timestamp\n${rows.join("\n")}\n` })
      const lines = rows.flatMap((row, e) => (row.startsWith(",") || row === "u,i" ? [`e.csv:${e + 2}`] : []))
      assert.deepStrictEqual(told(dataset), [{ "no user_id": 4, "too few columns": 5 }, lines.slice(0, 5)])
      const user = dataset.userKeys.indexOf("u1")
      const keys = [...dataset.sequences[user]!].map((item) =>
        dataset.items[item]!.key
      )
      const expected = rows.flatMap((row, e) => (row.startsWith("u1,") ? [`i${e}`] : [])).toReversed()
      assert.deepStrictEqual(keys, expected)
    }).pipe(Effect.provide(services)))

  it.effect("in other forms: JSON lines, MovieLens, RecBole, sequences, LETTER, items", () =>
    Effect.gen(function*() {
      const objects = good.map((row) => row.split(",")).map(([user_id, item_id, timestamp]) =>
        JSON.stringify({ user_id, item_id, timestamp })
      )
      const json = yield* importing({
        "e.jsonl": Buffer.concat([
          Buffer.from(
            [...objects, "{\"user_id\": \"p\", ", "", "[1]", "{\"item_id\": \"a\", \"timestamp\": 1}", ""].join("\n")
          ),
          latin1("{\"user_id\": \"\u00e9\"}\n"),
          Buffer.from("{\"user_id\": \"p\", \"item_id\": {}, \"timestamp\": 1}\n"),
          Buffer.from("{\"user_id\": \"p\", \"item_id\": \"a\", \"timestamp\": \"soon\"}\n")
        ])
      })
      assert.deepStrictEqual(told(json), [
        {
          "not a JSON object": 2,
          "no user_id": 1,
          "bytes that are not UTF-8": 1,
          "no item_id": 1,
          "timestamp is neither a number nor a date": 1
        },
        ["e.jsonl:9", "e.jsonl:11", "e.jsonl:12", "e.jsonl:13", "e.jsonl:14"]
      ])
      const spaced = good.map((row) => row.split(",")).map(([user, item, time, rating]) => [user, item, rating, time])
      const movies = yield* importing({
        "ratings.dat": [...spaced.map((row) => row.join("::")), "p::a::5", "p::a::5::soon"].join("\n"),
        "movies.dat": "a::A::x\n::B::y\nc::C::z\n"
      })
      assert.deepStrictEqual(told(movies), [
        {
          "too few columns": 1,
          "timestamp is neither a number nor a date": 1,
          "item rows left out: no item_id": 1
        },
        ["ratings.dat:9", "ratings.dat:10", "movies.dat:2"]
      ])
      const atomic = yield* importing({
        "e.inter": [
          "user_id:token\titem_id:token\trating:float\ttimestamp:float",
          ...spaced.map((row) => row.join("\t")),
          "p\ta\t5"
        ]
          .join("\n")
      })
      assert.deepStrictEqual(told(atomic), [{ "too few columns": 1 }, ["e.inter:10"]])
      const sequences = yield* importing({ "s.txt": "1 1 2 3\n2 3 2 1\n3\n4 1 x\n5 2 1 3\n" })
      assert.deepStrictEqual(told(sequences), [{ "a user without items": 1, "an item that is not a number": 1 }, [
        "s.txt:3",
        "s.txt:4"
      ]])
      const letter = yield* importing({
        "S.inter.json": JSON.stringify({ 0: [0, 1, 0], 1: [1, 9], 2: [1, 0, 1] }),
        "S.item.json": JSON.stringify({ 0: { title: "zero" }, 1: { title: "one" } })
      })
      assert.deepStrictEqual(told(letter), [{ "users left out: an item that the item table lacks": 1 }, [
        "S.inter.json:2"
      ]])
      assert.deepStrictEqual(letter.userKeys, ["0", "2"])
    }).pipe(Effect.provide(services)))

  it.effect("items that are none, in a table or in lines, are told too, and refused when strict", () =>
    Effect.gen(function*() {
      const tables = {
        "items.csv": "item_id,title\na,A\nb,B,two\nc,C\n,D\ne,E\n",
        "items.jsonl": `${
          ["a", "c", "d", "e"].map((id) => JSON.stringify({ item_id: id, title: id.toUpperCase() })).join("\n")
        }\n{"item_id": \n`
      }
      for (const [file, text] of Object.entries(tables)) {
        const dataset = yield* importing({ "e.csv": csv(), [file]: text })
        const told = dataset.counts.filter(({ step }) => step.startsWith("item rows left out"))
        assert.isAbove(told.length, 0, file)
        assert.deepStrictEqual([...new Set(dataset.malformed!.map((row) => basename(row.file)))], [file])
        assert.strictEqual(dataset.items.find(({ key }) => key === "c")!.title, "C")
        const error = yield* failing({ "e.csv": csv(), [file]: text })
        assert.strictEqual(error.reason._tag, "BadRow")
        assert.include(error.message, file)
      }
    }).pipe(Effect.provide(services)))
})

/** Files that no choice makes usable: the reason and what its message holds. */
const refused: Readonly<
  Record<string, readonly [file: string, content: string | Uint8Array, tag: string, words: ReadonlyArray<string>]>
> = {
  "an empty file": ["e.csv", "", "Unreadable", ["e.csv", "empty"]],
  "an empty JSON lines file": ["e.jsonl", "", "Unreadable", ["e.jsonl", "empty"]],
  "a header alone": ["e.csv", `${header}\n`, "NoEvents", ["e.csv"]],
  "no header": ["e.csv", `${good.join("\n")}\n`, "MissingColumn", [
    "found \"p\", \"a\", \"1\", \"5\"",
    "{\"header\":[\"user\",\"item\""
  ]],
  "a needed column named twice": [
    "e.csv",
    csv().replaceAll(/^([^,\n]*),/gm, (_, cell: string) => `${cell},${cell},`),
    "AmbiguousColumn",
    ["2 columns named user_id"]
  ],
  "zero bytes": ["e.csv", Buffer.concat([Buffer.alloc(64), Buffer.from(csv())]), "Unreadable", ["zero bytes"]],
  "one item": ["e.csv", `${header}\np,a,1,5\np,a,2,5\np,a,3,5\n`, "TooFewItems", ["1 item"]],
  "mostly rows that do not fit": [
    "e.csv",
    csv(...Array.from({ length: 9 }, (_, i) => `p,e${i}`)),
    "MostlyMalformed",
    ["9 of 17 rows", "line 10"]
  ],
  "mostly rows without a time": [
    "e.csv",
    csv(...Array.from({ length: 9 }, (_, i) => `p,e${i},later,5`)),
    "MostlyMalformed",
    ["9 of 17 rows", "later"]
  ],
  "mostly lines that are no JSON": [
    "e.jsonl",
    "{\"user_id\": \"p\", \"item_id\": \"a\", \"timestamp\": 1}\nx\ny\n",
    "MostlyMalformed",
    ["2 of 3 rows", "line 2"]
  ],
  "sequences that are none": ["s.txt", "a few words\nand more\n1 2 3\n", "UnknownForm", ["matches no known format"]],
  "a folder by a table's name": ["e.parquet/x", "", "UnknownForm", ["e.parquet", "found x"]]
}

describe("files that cannot be used at all", () => {
  for (const [what, [file, content, tag, words]] of Object.entries(refused)) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const error = yield* lax({ [file]: content }, file.split("/")[0])
        assert.strictEqual(error._tag, "CatalogError")
        assert.strictEqual(error.reason._tag, tag, error.message)
        for (const word of words) assert.include(error.message, word)
      }).pipe(Effect.provide(services)))
  }

  const long = Array.from({ length: 20_000 }, (_, e) => `u${e % 99},i${(e * 7919) % 997},${e},5`)
  const lines = long.map((row) => row.split(",")).map(([user_id, item_id, timestamp]) =>
    JSON.stringify({ user_id, item_id, timestamp })
  )
  for (
    const [form, text] of [
      ["csv", [header, ...long].join("\n")],
      ["jsonl", lines.join("\n")],
      ["txt", long.map((_, e) => `${e} 1 2 3`).join("\n")]
    ] as const
  ) {
    const whole = gzipSync(text)
    const flipped = (at: number) => {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 0xff
      return bytes
    }
    for (
      const [what, content] of [
        ["cut in the middle", whole.subarray(0, whole.length >> 1)],
        ["cut four bytes before its end", whole.subarray(0, -4)],
        ["with another checksum", flipped(whole.length - 7)],
        ["with a flipped byte", flipped(whole.length >> 1)],
        ["that is no gzip but a zip archive", Buffer.from(`PK\u0003\u0004${text.slice(0, 99)}`)]
      ] as const
    ) {
      it.effect(`a gzip ${what} (${form})`, () =>
        Effect.gen(function*() {
          const error = yield* lax({ [`e.${form}.gz`]: content }, `e.${form}.gz`)
          assert.strictEqual(error.reason._tag, "Unreadable", error.message)
          assert.include(error.message, `e.${form}.gz`)
          assert.include(error.message, "gzip")
        }).pipe(Effect.provide(services)))
    }
    it.effect(`a text that is called a gzip is read as what it is (${form})`, () =>
      Effect.gen(function*() {
        const dataset = yield* importing({ [`e.${form}.gz`]: text }, `e.${form}.gz`)
        assert.strictEqual(events(dataset), form === "txt" ? 60_000 : 20_000)
      }).pipe(Effect.provide(services)))

    it.effect(`a gzip of two parts is whole (${form})`, () =>
      Effect.gen(function*() {
        const half = text.indexOf("\n", text.length >> 1) + 1
        const content = Buffer.concat([gzipSync(text.slice(0, half)), gzipSync(text.slice(half))])
        const dataset = yield* importing({ [`e.${form}.gz`]: content }, `e.${form}.gz`)
        assert.strictEqual(events(dataset), form === "txt" ? 60_000 : 20_000)
      }).pipe(Effect.provide(services)))
  }

  it.effect("a sidereal.json that is no JSON, a LETTER file that breaks off, a path that is not there", () =>
    Effect.gen(function*() {
      const config = yield* lax({ "sidereal.json": "{", "e.csv": csv() })
      const letter = yield* lax({ "S.inter.json": "{\"0\": [0", "S.item.json": "{}" })
      const nowhere = yield* Effect.flip(Import.load("/nowhere/e.csv"))
      assert.deepStrictEqual([config, letter, nowhere as CatalogError].map(({ reason }) => reason._tag), [
        "Unreadable",
        "Unreadable",
        "Unreadable"
      ])
    }).pipe(Effect.provide(services)))
})

describe("TableReader", () => {
  it.live("an interrupted reading is put away before the next", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped()
      const [large, small] = [path.join(folder, "large.csv"), path.join(folder, "small.csv")]
      const rows = Array.from({ length: 500_000 }, (_, e) => `u${e},i${e},${e},1\n`)
      yield* fs.writeFileString(large, `${header}\n${rows.join("")}`)
      yield* fs.writeFileString(small, csv())
      const reader = yield* TableReader
      const columns = { user: "user_id", item: "item_id", time: "timestamp" }
      for (const millis of [1, 20, 80, 200]) {
        const fiber = yield* Effect.forkChild(reader.events(large, columns))
        const waiting = yield* Effect.forkChild(reader.events(large, columns))
        yield* Effect.sleep(millis)
        yield* Fiber.interrupt(fiber)
        yield* Fiber.interrupt(waiting)
        const { log } = yield* reader.events(small, columns)
        assert.deepStrictEqual([...log.users], [0, 0, 0, 0, 1, 1, 1, 1])
        assert.deepStrictEqual([...log.times], [1, 2, 3, 4, 1, 2, 3, 4])
        assert.deepStrictEqual(log.itemKeys, ["a", "b", "c", "d"])
      }
    }).pipe(Effect.scoped, Effect.provide(services)))

  it.effect("files read as one table tell which of them holds a row that does not fit", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({ "e-1.csv": csv(), "e-2.csv": csv("p,e", "q,f,9,5") })
      assert.strictEqual(events(dataset), 9)
      assert.deepStrictEqual(told(dataset), [{ "too few columns": 1 }, ["e-2.csv:10"]])
      assert.deepInclude(dataset.counts, { step: "duplicate events dropped", count: 8 })
    }).pipe(Effect.provide(services)))

  it.effect("ratings are read where a floor asks for them: words are told, decimal commas and absent ones are not", () =>
    Effect.gen(function*() {
      const rows = ["p,e,1,five", "p,f,2,inf", "p,g,3,NaN", "p,h,4,", "p,i,5,\"4,5\"", "p,j,6,\"3,9\""]
      const dataset = yield* importing({ "e.csv": csv(...rows) }, "e.csv", { filter: filter({ ratingFloor: 4.5 }) })
      assert.deepStrictEqual(told(dataset), [{ "rating is not a number": 2 }, ["e.csv:10", "e.csv:11"]])
      assert.includeMembers(dataset.items.map(({ key }) => key), ["g", "h", "i"])
      assert.deepInclude(dataset.counts, { step: "events below the rating floor dropped", count: 1 })
      const error = yield* lax({ "e.csv": csv().replaceAll(/,5$/gm, "").replace(",rating", "") }, "e.csv", {
        filter: filter({ ratingFloor: 4 })
      })
      assert.strictEqual(error.reason._tag, "NoRatings")
      assert.include(error.message, "\"user_id\", \"item_id\", \"timestamp\"")
    }).pipe(Effect.provide(services)))
})

describe("Malformed", () => {
  it.effect("half of the rows may be malformed, one more may not", () =>
    Effect.gen(function*() {
      const tally = new Malformed.Tally("f")
      tally.rows = 4
      for (const line of [3, 1]) tally.add(line, "odd", "y")
      yield* Malformed.settle("f", tally.findings, false)
      assert.deepStrictEqual(tally.findings.malformed.map(({ line }) => line), [1, 3])
      tally.count("odder", 1)
      const error = yield* Effect.flip(Malformed.settle("f", tally.findings, false))
      assert.strictEqual(error.reason._tag, "MostlyMalformed")
    }))
})

describe("EventTime", () => {
  const times = [
    ["1500000000", 1_500_000_000],
    ["-3.5e2", -350],
    [" 12 ", 12],
    ["2026-01-31", Date.UTC(2026, 0, 31)],
    ["2026-01-31 10:20", Date.UTC(2026, 0, 31, 10, 20)],
    ["2026-01-31 10:20:30", Date.UTC(2026, 0, 31, 10, 20, 30)],
    ["2026-01-31T10:20:30.250", Date.UTC(2026, 0, 31, 10, 20, 30, 250)],
    ["2026-01-31T10:20:30Z", Date.UTC(2026, 0, 31, 10, 20, 30)],
    ["2026-01-31T10:20:30+02:00", Date.UTC(2026, 0, 31, 8, 20, 30)],
    ["2026-01-31 10:20:30-0530", Date.UTC(2026, 0, 31, 15, 50, 30)],
    ["12/1/2010 8:26", Date.UTC(2010, 11, 1, 8, 26)],
    ["12/01/2010", Date.UTC(2010, 11, 1)],
    ["09 13, 2009", Date.UTC(2009, 8, 13)],
    ["Sep 13, 2009", Date.UTC(2009, 8, 13)],
    ["01-Jan-1995", Date.UTC(1995, 0, 1)],
    ["Fri, 13 Feb 2009 23:31:30 GMT", Date.UTC(2009, 1, 13, 23, 31, 30)],
    ...[
      "",
      " ",
      "soon",
      "soon 1",
      "0x10",
      "inf",
      "NaN",
      "1e999",
      "2026-02-30",
      "2026-13-01",
      "2026-01-01 25:00:00",
      "1_000",
      "12,5"
    ]
      .map((text) => [text, Number.NaN] as const)
  ] as const

  it("takes numbers and dates, in UTC unless they say otherwise, and nothing else", () => {
    for (const [text, time] of times) assert.deepStrictEqual(EventTime.parse(text), time, text)
  })

  it.effect("is the same in CSV as in JSON lines", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped()
      const columns = { user: "user_id", item: "item_id", time: "timestamp" }
      for (const [text] of times) {
        const [csv, json] = [path.join(folder, "e.csv"), path.join(folder, "e.jsonl")]
        yield* fs.writeFileString(csv, `user_id,item_id,timestamp\nu,i,"${text}"\n`)
        yield* fs.writeFileString(json, JSON.stringify({ user_id: "u", item_id: "i", timestamp: text }))
        const read = [
          (yield* TableReader).events(csv, columns, { dates: "month-first" }),
          JsonLines.events(json, columns, { dates: "month-first" })
        ]
        const column = EventTime.column([text], { order: "month-first" })
        const expected = column._tag === "Times" ? [...column.times].filter((time) => !Number.isNaN(time)) : []
        for (const scan of yield* Effect.all(read)) assert.deepStrictEqual([...scan.log.times], expected, text)
      }
    }).pipe(Effect.scoped, Effect.provide(services)))
})
