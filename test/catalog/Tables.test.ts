import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { type CatalogError } from "../../src/catalog/CatalogError.ts"
import { type Dataset } from "../../src/catalog/Dataset.ts"
import * as DatasetFile from "../../src/catalog/DatasetFile.ts"
import * as Import from "../../src/catalog/Import.ts"
import { type Files, filter, importing, services } from "./Importing.ts"

/** Users with the keys of their items in order. */
const named = (dataset: Dataset) =>
  Object.fromEntries(dataset.userKeys.map((user, u) => [
    user,
    Array.from(dataset.sequences[u]!, (item) => dataset.items[item]!.key).join(" ")
  ]))

const titles = (dataset: Dataset) => Object.fromEntries(dataset.items.map(({ key, title }) => [key, title]))

const failing = (files: Files, file?: string, options: Import.ImportOptions = {}) =>
  importing(files, file, options).pipe(Effect.flip, Effect.map((error) => error as CatalogError))

const lines = (...rows: ReadonlyArray<string>) => `${rows.join("\n")}\n`
const json = (rows: ReadonlyArray<unknown>) => lines(...rows.map((row) => JSON.stringify(row)))
const header = "user_id,item_id,timestamp"
const wanted = { u1: "a b c", u2: "b c a" }
const rows = ["u1,a,1", "u2,b,1", "u1,b,2", "u2,c,2", "u1,c,3", "u2,a,3"]

/** Folders that hold the six events, and files that are none of the data. */
const sixEvents: Readonly<Record<string, Files>> = {
  "yearly files": {
    "events-2022.csv": lines(header, ...rows.slice(0, 3)),
    "events-2023.csv": lines(header, ...rows.slice(3))
  },
  "parts with their columns in another order": {
    "part-0.csv": lines(header, ...rows.slice(0, 3)),
    "part-1.csv": lines("timestamp,user_id,item_id", "2,u2,c", "3,u1,c", "3,u2,a")
  },
  "a folder of Spark beside the items": {
    "log.csv/part-00000-7d0e-c000.csv": lines(header, ...rows.slice(0, 3)),
    "log.csv/part-00001-7d0e-c000.csv": lines(header, ...rows.slice(3)),
    "log.csv/_SUCCESS": "",
    "log.csv/._SUCCESS.crc": "crc",
    "goods.csv": lines("item_id,title", "a,A", "b,B")
  },
  "partitions of Hive": {
    "events/x": "",
    "year=2022/part-0.csv": lines(header, ...rows.slice(0, 3)),
    "year=2023/part-0.csv": lines(header, ...rows.slice(3))
  },
  "names that are patterns": { "log[1].csv": lines(header, ...rows), "sidereal.json": "{\"events\": \"log[1].csv\"}" },
  "capitals, spaces and marks in names": { "e.csv": lines("Customer ID,Product-Id,Event Time", ...rows) },
  "words for no user and no item": {
    "e.csv": lines(header, ...rows, "NULL,a,9", "nan,a,9", "u1,None,9", "\\N,b,9", ",c,9", "u2,<NA>,9")
  },
  "keys that a table of numbers wrote": {
    "e.csv": lines(header, ...rows).replaceAll(/\b[abc]\b/g, (item) => `${item.charCodeAt(0)}.0`),
    "goods.csv": lines("item_id,title", "97,A", "98,B", "99,C")
  },
  "a date and an hour": {
    "e.csv": lines(
      "date,time,user_id,item_id",
      ...rows.map((row) => {
        const [user, item, time] = row.split(",")
        return `2020-01-0${time === "3" ? 2 : 1},${time === "3" ? 5 : Number(time) + 8},${user},${item}`
      })
    )
  },
  "a date and a clock": {
    "e.csv": lines(
      "date,time,user_id,item_id",
      ...rows.map((row) => {
        const [user, item, time] = row.split(",")
        return `2020-01-0${time === "3" ? 2 : 1},${time === "3" ? "1:05" : `${time}:30`} PM,${user},${item}`
      })
    )
  },
  "days before months": {
    "e.csv": lines(
      header,
      ...rows.map((row) => row.replace(/,(\d)$/, (_, day) => `,${day === "3" ? "13" : `0${day}`}/02/2020`))
    )
  },
  "dates of two files, one of which shows their order": {
    "e-1.csv": lines(header, ...rows.slice(0, 4).map((row) => row.replace(/,(\d)$/, ",0$1/02/2020"))),
    "e-2.csv": lines(header, ...rows.slice(4).map((row) => row.replace(/,(\d)$/, ",13/02/2020")))
  },
  "lists in cells": {
    "e.csv": lines("user_id,item_id", "u1,\"[\"\"a\"\", \"\"b\"\", \"\"c\"\"]\"", "u2,\"['b', 'c', 'a']\"")
  },
  "cells with several items": {
    "e.tsv": lines("session\titems", "u1\ta b c", "u2\tb c a"),
    "sidereal.json": JSON.stringify({ columns: { user: "session", item: "items" }, lists: " " })
  },
  "sessions with lists of events": {
    "e.jsonl": json([
      { session: "u1", events: [{ aid: "a", ts: 1 }, { aid: "b", ts: 2 }, { aid: "c", ts: 3 }] },
      { session: "u2", events: [{ aid: "b", ts: 1 }, { aid: "c", ts: 2 }, { aid: "a", ts: 3 }] }
    ])
  },
  "a log of Yelp among its other tables": {
    "yelp_academic_dataset_review.json": json(rows.map((row) => {
      const [user_id, business_id, day] = row.split(",")
      return { review_id: "r", user_id, business_id, stars: 4, text: "ok", date: `2018-07-0${day} 22:09:11` }
    })),
    "yelp_academic_dataset_business.json": json([{ business_id: "a", name: "A", categories: "Tea, Food" }]),
    "yelp_academic_dataset_tip.json": json([{ user_id: "u1", business_id: "a", date: "2019-01-01", text: "x" }]),
    "yelp_academic_dataset_user.json": json([{ user_id: "u1", name: "Ann" }])
  },
  "Steam, whose tables name items differently": {
    "steam_reviews.json": lines(...rows.map((row) => {
      const [user, item, day] = row.split(",")
      return `{u'username': u'${user}', u'product_id': u'${item}', u'date': u'2017-12-0${day}', u'text': u'caf\\xe9'}`
    })),
    "steam_games.json": lines(`{u'title': u'A', u'id': u'a', u'price': 4.99}`, `{u'title': u'B', u'id': u'b'}`)
  },
  "other names in each table": {
    "plays.tsv": lines("listener\tsong\tat", ...rows.map((row) => row.replaceAll(",", "\t"))),
    "songs.csv": lines("id,called", "a,A", "b,B"),
    "sidereal.json": JSON.stringify({
      events: { file: "plays.tsv", columns: { user: "listener", item: "song", time: "at" } },
      items: { file: "songs.csv", columns: { item: "id", title: "called" } }
    })
  },
  "a table of items whose key is called id": {
    "e.dat": lines("userID\tartistID\ttimestamp", ...rows.map((row) => row.replaceAll(",", "\t"))),
    "artists.dat": lines("id\tname\turl", "a\tA\tx", "b\tB\ty"),
    "sidereal.json": JSON.stringify({
      events: "e.dat",
      items: "artists.dat",
      columns: { user: "userID", item: "artistID" }
    })
  },
  "one table of a header that is named, another of its own": {
    "log.txt": lines(...rows),
    "sidereal.json": JSON.stringify({ events: "log.txt", header: ["user", "item", "time"] })
  },
  "times in microseconds": {
    "e.csv": lines(header, ...rows.map((row) => row.replace(/,(\d)$/, ",150000000000000$1")))
  },
  "the only folder with data, two levels down, beside documents": {
    "README.txt": "Users, items and more\nof all, of it\n",
    "LICENSE": "MIT, really\n",
    "archive/data/events.csv": lines(header, ...rows),
    "archive/data/.DS_Store": "\u0000\u0001Bud1"
  },
  "folders that are a split, each with parts": {
    "train/part-0.csv": lines(header, ...rows.slice(0, 3)),
    "train/part-1.csv": lines(header, rows[3]!),
    "test/part-0.csv": lines(header, ...rows.slice(4))
  },
  "folders that are a split, each with one file of its name": {
    "data/train/train.csv": lines(header, ...rows.slice(0, 4)),
    "data/test/test.csv": lines(header, ...rows.slice(4)),
    "README.md": "# Data\n"
  },
  "names without endings": { events: lines(header, ...rows), items: lines("item_id,title", "a,A", "b,B") },
  "parts of which some are empty": {
    "part-0.csv": "",
    "part-1.csv": lines(header, ...rows),
    "part-2.csv": lines(header)
  },
  "months in the names of parts": {
    "2019-Oct.csv": lines(header, ...rows.slice(0, 3)),
    "2019-Nov.csv": lines(header, ...rows.slice(3))
  },
  "a header in a comment": { "e.csv": lines("# made by hand", `#${header}`, ...rows) },
  "row names without a name, as R writes them": {
    "e.csv": lines(
      "\"user_id\",\"item_id\",\"timestamp\"",
      ...rows.map((row, at) => `"${at + 1}",${row.replace(/^(\w+),(\w+)/, "\"$1\",\"$2\"")}`)
    )
  },
  "runs of spaces": { "e.txt": lines(header, ...rows).replaceAll(",", "    ") },
  "Hive's separator": { "e.csv": lines(header, ...rows).replaceAll(",", "\u0001") },
  "times with parted thousands": {
    "e.csv": lines(header, ...rows.map((row) => row.replace(/,(\d)$/, ",\"1,000,00$1\"")))
  },
  "times of web servers": {
    "e.csv": lines(header, ...rows.map((row) => row.replace(/,(\d)$/, ",[0$1/Sep/2020:12:26:40 +0000]")))
  },
  "times of China": { "e.csv": lines(header, ...rows.map((row) => row.replace(/,(\d)$/, ",2020年9月$1日 10:00"))) },
  "a list under a usual name, with a list of times": {
    "e.jsonl": json([
      { user_id: "u1", item_ids: ["c", "a", "b"], timestamps: [3, 1, 2] },
      { user_id: "u2", item_ids: ["b", "c", "a"], timestamps: [1, 2, 3] }
    ])
  },
  "lists of events by their users": {
    "e.json": JSON.stringify({
      u1: [{ item_id: "b", timestamp: 2 }, { item_id: "a", timestamp: 1 }, { item_id: "c", timestamp: 3 }],
      u2: [{ item_id: "b", timestamp: 1 }, { item_id: "c", timestamp: 2 }, { item_id: "a", timestamp: 3 }]
    })
  },
  "what MongoDB writes": {
    "e.jsonl": json(rows.map((row) => {
      const [user_id, item_id, time] = row.split(",")
      return { user_id: { $oid: user_id }, item_id, timestamp: { $date: `2020-01-0${time}T00:00:00Z` } }
    }))
  },
  "another encoding, which is named": {
    "e.csv": Buffer.from(
      lines("user_id;item_id;timestamp;ort", ...rows.map((row) => `${row.replaceAll(",", ";")};Köln`)),
      "latin1"
    ),
    "sidereal.json": JSON.stringify({ encoding: "latin-1" })
  }
}

describe("tables as people have them", () => {
  for (const [what, files] of Object.entries(sixEvents)) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const dataset = yield* importing(files)
        const order = what === "keys that a table of numbers wrote"
          ? { u1: "97 98 99", u2: "98 99 97" }
          : wanted
        assert.deepStrictEqual(named(dataset), order)
        assert.deepStrictEqual(DatasetFile.decode(DatasetFile.encode(dataset)), dataset)
      }).pipe(Effect.provide(services)))
  }

  it.effect("the keys of two tables are matched, and it is told when none is", () =>
    Effect.gen(function*() {
      const dataset = yield* importing(sixEvents["keys that a table of numbers wrote"]!)
      assert.deepStrictEqual(titles(dataset), { 97: "A", 98: "B", 99: "C" })
      const other = yield* importing({
        "e.csv": lines(header, ...rows),
        "goods.csv": lines("item_id,title", "A1,A", "B1,B")
      })
      assert.deepInclude(other.counts, { step: "items without an entry in the items table", count: 3 })
      assert.isTrue(other.notes!.some((note) => note.includes("\"A1\"") && note.includes("\"a\"")), String(other.notes))
    }).pipe(Effect.provide(services)))

  it.effect("words for no user and no item are counted, unless sidereal.json knows people of these names", () =>
    Effect.gen(function*() {
      const files = sixEvents["words for no user and no item"]!
      const dataset = yield* importing(files)
      assert.deepInclude(dataset.counts, { step: "rows left out: no user_id", count: 4 })
      assert.deepInclude(dataset.counts, { step: "rows left out: no item_id", count: 2 })
      const kept = yield* importing({ ...files, "sidereal.json": JSON.stringify({ missing: ["NULL"] }) })
      assert.includeMembers([...kept.userKeys], ["nan", "\\N"])
      assert.notInclude(kept.userKeys, "NULL")
    }).pipe(Effect.provide(services)))

  it.effect("of several rows of an item the fullest counts, filled up from the others, and they are counted", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "e.csv": lines(header, ...rows),
        "goods.csv": lines(
          "item_id,title,description,brand",
          "a,The red mug,,Acme",
          "a,,Holds tea.,",
          "b,Blue mug,,",
          "b,DAMAGED,,",
          "c,,,"
        )
      })
      assert.deepStrictEqual(titles(dataset), { a: "The red mug", b: "Blue mug", c: "c" })
      const a = dataset.items.find(({ key }) => key === "a")
      assert.deepStrictEqual([a!.description, a!.brand], ["Holds tea.", "Acme"])
      assert.deepInclude(dataset.counts, { step: "rows that repeat an item", count: 2 })
    }).pipe(Effect.provide(services)))

  it.effect("titles among the events are those of items, where they say the same in most events; reviews' are not", () =>
    Effect.gen(function*() {
      const name: Readonly<Record<string, string>> = { a: "Alpha", b: "Beta", c: "Gamma" }
      const told = (title: (item: string, at: number) => string, column: string, more = "") =>
        lines(
          `${header},${column}${more === "" ? "" : ",text"}`,
          ...rows.map((row, at) => `${row},${title(row.split(",")[1]!, at)}${more}`)
        )
      const shop = yield* importing({ "e.csv": told((item) => name[item]!, "product_name") })
      assert.deepStrictEqual(titles(shop), { a: "Alpha", b: "Beta", c: "Gamma" })
      const notes = yield* importing({ "e.csv": told((_, at) => `note ${at}`, "title") })
      assert.deepStrictEqual(titles(notes), { a: "a", b: "b", c: "c" })
      const reviews = yield* importing({ "e.csv": told((item) => `Great ${item}`, "title", ",nice") })
      assert.deepStrictEqual(titles(reviews), { a: "a", b: "b", c: "c" })
    }).pipe(Effect.provide(services)))

  it.effect("lists in Parquet keep their parts", () =>
    Effect.gen(function*() {
      const folder = mkdtempSync(join(tmpdir(), "lists-"))
      yield* Effect.promise(async () => {
        const connection = await (await DuckDBInstance.create(":memory:")).connect()
        await connection.run(
          `COPY (SELECT 'a' AS item_id, 'A' AS title, ['Home, Garden', 'Rugs & Mats'] AS categories) TO '${folder}/g' (FORMAT parquet)`
        )
        connection.closeSync()
      })
      const dataset = yield* importing({
        "e.csv": lines(header, ...rows),
        "g.parquet": readFileSync(join(folder, "g"))
      })
      rmSync(folder, { recursive: true })
      assert.deepStrictEqual(dataset.items.find(({ key }) => key === "a")!.categories, ["Home, Garden", "Rugs & Mats"])
    }).pipe(Effect.provide(services)))

  it.effect("links that lead nowhere and hidden files are passed over", () =>
    Effect.gen(function*() {
      const folder = mkdtempSync(join(tmpdir(), "links-"))
      writeFileSync(join(folder, "e.csv"), lines(header, ...rows))
      writeFileSync(join(folder, "._e.csv"), "\u0000\u0001")
      symlinkSync(join(folder, "nothing.csv"), join(folder, "gone.csv"))
      symlinkSync("loop.csv", join(folder, "loop.csv"))
      const dataset = yield* Import.load(folder)
      rmSync(folder, { recursive: true })
      assert.deepStrictEqual(named(dataset), wanted)
    }).pipe(Effect.provide(services)))
})

describe("what is told", () => {
  const told = (files: Files) => importing(files).pipe(Effect.map(({ notes = [] }) => notes.join("\n")))

  it.effect("tables that are not read, and a table without a header line that may hold the titles", () =>
    Effect.gen(function*() {
      const notes = yield* told({
        "e.csv": lines(header, ...rows),
        "goods.csv": lines("1,Red mug", "2,Blue mug"),
        "friends.csv": lines("from,to", "u1,u2")
      })
      assert.include(notes, "not read: friends.csv, goods.csv")
      assert.include(notes, "{\"items\":{\"file\":\"goods.csv\",\"header\":[\"item\",\"title\"]}}")
    }).pipe(Effect.provide(services)))

  it.effect("why a file beside the events is not read; a few control characters are no reason", () =>
    Effect.gen(function*() {
      const events = { "e.csv": lines(header, ...rows) }
      assert.include(yield* told({ ...events, "i.csv": "<!DOCTYPE html><html></html>" }), "it is an HTML page")
      const odd = yield* importing({ ...events, "i.csv": lines("item_id,title", "a,\u001b[31mA\u0007", "b,B\u0008") })
      assert.deepStrictEqual(titles(odd), { a: "\u001b[31mA\u0007", b: "B\u0008", c: "c" })
    }).pipe(Effect.provide(services)))

  it.effect("encodings of events and items, and what would help where none can be told", () =>
    Effect.gen(function*() {
      const events = { "e.csv": lines(header, ...rows) }
      const goods = (title: string) => lines("item_id,title", `a,${title}`, `b,${title} 2`)
      assert.include(
        yield* told({ ...events, "i.csv": Buffer.from(goods("Größe für Äpfel"), "latin1") }),
        "i.csv is not UTF-8; read as windows-1252"
      )
      const error = yield* failing({
        ...events,
        // Chinese in GBK.
        "i.csv": Buffer.from(goods("\xca\xfd\xbe\xdd\xcd\xda\xbe\xf2\xb5\xbc\xc2\xdb"), "latin1")
      })
      assert.strictEqual(error.reason._tag, "MostlyMalformed")
      assert.include(error.message, "{\"encoding\": \"gbk\"}")
    }).pipe(Effect.provide(services)))

  it.effect("the word that stood where a user or an item is missing", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "e.csv": lines(header, ...rows, "NULL,a,9", "u1,,9"),
        "i.csv": lines("item_id,title", "nan,A", "a,B")
      })
      assert.deepStrictEqual(dataset.malformed!.map(({ problem, value }) => [problem, value]), [
        ["no user_id", "NULL"],
        ["no item_id", "empty"],
        ["no item_id", "nan"]
      ])
    }).pipe(Effect.provide(services)))

  it.effect("a day beside a month and a year is no time", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "e.csv": lines("user_id,item_id,day,month,year", "u1,a,30,1,2020", "u1,b,2,2,2020", "u1,c,1,3,2020")
      })
      assert.deepStrictEqual(named(dataset), { u1: "a b c" })
      assert.isUndefined(dataset.times)
    }).pipe(Effect.provide(services)))

  it.effect("a table of items alone is no table of events", () =>
    Effect.gen(function*() {
      const error = yield* failing({ "goods.csv": lines("item_id,title", "a,A", "b,B") })
      assert.strictEqual(error.reason._tag, "UnknownForm")
      assert.notInclude(error.message, "would read it")
    }).pipe(Effect.provide(services)))
})

describe("many small parts", () => {
  const part = (at: number, ...more: ReadonlyArray<string>) =>
    lines(header, ...[0, 1, 2].map((k) => `u${(at + k) % 7},i${(at * 3 + k) % 11},${at * 10 + k}`), ...more)
  const many = (more: (at: number) => ReadonlyArray<string> = () => []): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: 40 }, (_, at) => [`part-${String(at).padStart(5, "0")}.csv`, part(at, ...more(at))])
    )
  const one = lines(header, ...Object.values(many()).flatMap((text) => text.trim().split("\n").slice(1)))

  it.effect("are read as the same rows in one file, whatever their line ends, one of them packed and some empty", () =>
    Effect.gen(function*() {
      const files: Record<string, string | Uint8Array> = many()
      const name = (at: number) => `part-000${at}.csv`
      files[name(11)] = (files[name(11)] as string).trimEnd()
      files[name(12)] = (files[name(12)] as string).replaceAll("\n", "\r\n")
      files[name(13)] = `\ufeff${files[name(13)] as string}`
      files[name(14)] = gzipSync(files[name(14)]!)
      const dataset = yield* importing({ ...files, "part-00050.csv": "", "part-00051.csv": lines(header) })
      assert.deepStrictEqual(named(dataset), named(yield* importing({ "e.csv": one })))
      assert.include(dataset.notes!.join(), "41 files of events are read as one table")
    }).pipe(Effect.provide(services)))

  it.effect("rows that cannot be used are told with the file and line where they stand", () =>
    Effect.gen(function*() {
      const files = many((at) => at === 17 ? ["u1,i1", "NULL,i2,5"] : at === 30 ? ["u1,i1,soon"] : [])
      const dataset = yield* importing(files)
      assert.deepStrictEqual(
        dataset.malformed!.map(({ file, line, value }) => [file.slice(-14), line, value]),
        [["part-00017.csv", 5, "u1,i1"], ["part-00017.csv", 6, "NULL"], ["part-00030.csv", 5, "soon"]]
      )
      const error = yield* failing(files, undefined, { strict: true })
      assert.include(error.message, "part-00017.csv, line 5")
    }).pipe(Effect.provide(services)))

  it.effect("of a split keep their part", () =>
    Effect.gen(function*() {
      const split = Object.fromEntries(
        Object.entries(many()).map(([name, text], at) => [`${at < 30 ? "train" : "test"}/${name}`, text])
      )
      const dataset = yield* importing(split)
      const events = (lists: ReadonlyArray<Int32Array>) => lists.reduce((sum, { length }) => sum + length, 0)
      assert.strictEqual(dataset.split!.test.length, 30)
      assert.strictEqual(events(dataset.split!.train) + dataset.split!.validation.length, 90)
      assert.include(dataset.notes!.join(), "30 to train, 0 to validate, 10 to test")
    }).pipe(Effect.provide(services)))
})

describe("tables beside each other", () => {
  it.effect("of tables with keys called id, the one that the events' column names holds the items", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "orders.csv": lines("id,customer_id,product_id,created_at", ...rows.map((row, at) => `${at},${row}`)),
        "products.csv": lines("id,title", "a,A", "b,B"),
        "customers.csv": lines("id,name", "u1,Ann", "a,Bob")
      })
      assert.deepStrictEqual(titles(dataset), { a: "A", b: "B", c: "c" })
    }).pipe(Effect.provide(services)))

  it.effect("backslashes before quotes are found where the first rows have none, and lines of megabytes are read", () =>
    Effect.gen(function*() {
      const many = Array.from({ length: 4000 }, (_, at) => `"z${at}";"Title ${at}";""`)
      const late = yield* importing({
        "e.csv": lines(header, ...rows),
        "i.csv": lines("\"item_id\";\"title\";\"brand\"", ...many, "\"a\";\"An \\\"A\\\"; more\";\"x\"")
      })
      assert.deepInclude(titles(late), { a: "An \"A\"; more" })
      const long = yield* importing({
        "e.csv": lines(header, ...rows),
        "i.csv": lines("item_id,title,description", `a,A,"${"x".repeat(3_000_000)}"`, "b,B,", "c,C,")
      })
      assert.deepStrictEqual(titles(long), { a: "A", b: "B", c: "C" })
    }).pipe(Effect.provide(services)))
})

describe("splits that come as files", () => {
  const train = ["u1,a,1", "u1,b,2", "u2,b,1", "u2,c,2", "u2,d,3"]
  const check = (dataset: Dataset) => {
    const keys = (items: Int32Array) => Array.from(items, (item) => dataset.items[item]!.key).join(" ")
    const { split } = dataset
    return {
      train: split!.train.map(keys),
      validation: split!.validation.map(({ history, target }) => `${keys(history)} > ${dataset.items[target]!.key}`),
      test: split!.test.map(({ history, target }) => `${keys(history)} > ${dataset.items[target]!.key}`)
    }
  }
  const files = {
    "x.train.csv": lines(header, ...train),
    "x.valid.csv": lines(header, "u1,c,3", "u2,a,4"),
    "x.test.csv": lines(header, "u1,d,4", "u1,a,5", "u2,b,5")
  }

  it.effect("train, valid and test files are the split; several targets of a user follow one another", () =>
    Effect.gen(function*() {
      const expected = {
        train: ["a b", "b c d"],
        validation: ["a b > c", "b c d > a"],
        test: ["a b c > d", "a b c d > a", "b c d a > b"]
      }
      assert.deepStrictEqual(check(yield* importing(files)), expected)
      const tabs = Object.fromEntries(
        Object.entries(files).map(([name, text]) => [
          name.replace("csv", "inter"),
          text.replaceAll(",", "\t").replace(
            "user_id\titem_id\ttimestamp",
            "user_id:token\titem_id:token\ttimestamp:float"
          )
        ])
      )
      assert.deepStrictEqual(check(yield* importing(tabs)), expected)
      const shards = {
        "train-00000-of-00002.csv": lines(header, ...train.slice(0, 2)),
        "train-00001-of-00002.csv": lines(header, ...train.slice(2)),
        "validation-00000-of-00001.csv": files["x.valid.csv"],
        "test-00000-of-00001.csv": files["x.test.csv"]
      }
      assert.deepStrictEqual(check(yield* importing(shards)), expected)
      const named = {
        "1.csv": files["x.train.csv"],
        "2.csv": files["x.valid.csv"],
        "3.csv": files["x.test.csv"],
        "sidereal.json": JSON.stringify({ split: { train: "1.csv", validation: "2.csv", test: "3.csv" } })
      }
      assert.deepStrictEqual(check(yield* importing(named)), expected)
    }).pipe(Effect.provide(services)))

  it.effect("without a file that validates, the last training event of a user does", () =>
    Effect.gen(function*() {
      const { "x.valid.csv": _, ...two } = files
      assert.deepStrictEqual(check(yield* importing(two)), {
        train: ["a b", "b c"],
        validation: ["b c > d"],
        test: ["a b > d", "a b d > a", "b c d > b"]
      })
    }).pipe(Effect.provide(services)))

  it.effect("LightGCN's folders keep their split and original keys", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "train.txt": lines("0 0 1 2", "1 2 3", "2 0 3 1 2"),
        "test.txt": lines("0 3", "1", "2"),
        "item_list.txt": lines("org_id remap_id", "B00A 0", "B00B 1", "B00C 2", "B00D 3")
      })
      assert.deepStrictEqual(check(dataset), {
        train: ["B00A B00B", "B00C B00D", "B00A B00D B00B"],
        validation: ["B00A B00B > B00C", "B00A B00D B00B > B00C"],
        test: ["B00A B00B B00C > B00D"]
      })
    }).pipe(Effect.provide(services)))
})

describe("other formats", () => {
  it.effect("MIND: the history, then the clicks in order of time", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "behaviors.tsv": lines(
          "1\tU1\t11/12/2019 10:01:58 PM\tN1 N2\tN5-1 N4-0",
          "2\tU1\t11/12/2019 9:01:58 AM\tN1 N2\tN3-1 N4-0",
          "3\tU2\t11/13/2019 9:01:58 AM\tN2\tN1-0 N4-1 N3-1"
        ),
        "news.tsv": lines(
          "N1\tlifestyle\troyals\tThe \"Brands\" Queen\tShop\thttps://e\t[]\t[]",
          "N2\tsport\tgolf\tPutt\t\t\t[]\t[]"
        )
      })
      assert.deepStrictEqual(named(dataset), { U1: "N1 N2 N3 N5", U2: "N2 N4 N3" })
      assert.strictEqual(dataset.items.find(({ key }) => key === "N1")!.title, "The \"Brands\" Queen")
      assert.isUndefined(dataset.times)
    }).pipe(Effect.provide(services)))

  it.effect("Diginetica: sessions, in order of the milliseconds since the day began", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "train-item-views.csv": lines(
          "sessionId;userId;itemId;timeframe;eventdate",
          "1;NA;10;900000;2016-05-01",
          "1;NA;8;9;2016-05-01",
          "1;NA;9;50000;2016-05-01",
          "2;27;7;5;2016-05-02",
          "2;27;8;4;2016-05-02",
          "2;27;9;3;2016-05-02"
        ),
        "products.csv": lines("itemId;pricelog2;product.name.tokens", "10;1;2,3")
      })
      assert.deepStrictEqual(named(dataset), { 1: "8 9 10", 2: "9 8 7" })
    }).pipe(Effect.provide(services)))

  it.effect("Online Retail as a table: purchases of known customers, the most frequent description as title", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "online_retail.csv": lines(
          "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
          "1,85123A,HEART,6,12/1/2010 8:26,2.55,17850.0,UK",
          "2,71053,LANTERN,6,12/1/2010 8:27,3.39,17850.0,UK",
          "3,22752,BOXES,2,12/13/2010 8:28,7.65,17850.0,UK",
          "C4,22752,BOXES,-2,12/13/2010 9:00,7.65,17850.0,UK",
          "5,85123A,damaged,1,12/2/2010 8:26,2.55,13047.0,UK",
          "6,85123A,HEART,1,12/3/2010 8:26,2.55,13047.0,UK",
          "7,71053,LANTERN,1,12/4/2010 8:26,2.55,,UK"
        )
      })
      assert.deepStrictEqual(named(dataset), { 17850: "85123A 71053 22752", 13047: "85123A 85123A" })
      assert.deepStrictEqual(titles(dataset), { "85123A": "HEART", 71053: "LANTERN", 22752: "BOXES" })
    }).pipe(Effect.provide(services)))

  it.effect("pairs without a header, sequences of any keys, arrays of JSON", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(named(yield* importing({ "ml.txt": lines("1 4", "1 5", "1 6", "2 5", "2 4", "2 6") })), {
        1: "4 5 6",
        2: "5 4 6"
      })
      assert.deepStrictEqual(named(yield* importing({ "b.txt": lines("A0 0012 12 B003", "A1 12 0012 B004 B003") })), {
        A0: "0012 12 B003",
        A1: "12 0012 B004 B003"
      })
      assert.deepStrictEqual(named(yield* importing({ "s.jsonl": lines("[\"a\", \"b\", \"c\"]", "[\"b\", \"a\"]") })), {
        1: "a b c",
        2: "b a"
      })
      const ten = yield* importing({
        "ten.txt": lines("u0 2145365020 2145365021 2145365022", "u1 2145365021 2145365020 2145365022")
      })
      assert.deepStrictEqual(named(ten)["u0"], "2145365020 2145365021 2145365022")
    }).pipe(Effect.provide(services)))
})

describe("what is refused says why, and what would help", () => {
  const refused: Readonly<Record<string, readonly [Files, string, ReadonlyArray<string>, Import.ImportOptions?]>> = {
    "files of events that do not belong together": [
      { "views.csv": lines(header, ...rows), "buys.csv": lines(header, ...rows) },
      "AmbiguousTables",
      ["buys.csv", "views.csv", "{\"events\": \"buys.csv\"}"]
    ],
    "tables of items that do not belong together": [
      {
        "e.csv": lines(header, ...rows),
        "goods.csv": lines("item_id,title", "a,A"),
        "wares.csv": lines("item_id,title", "a,A")
      },
      "AmbiguousTables",
      ["goods.csv", "wares.csv", "\"items\""]
    ],
    "dates that can be read in two ways": [
      { "e.csv": lines(header, "u1,a,01/02/2020", "u1,b,03/02/2020", "u1,c,05/06/2020") },
      "AmbiguousDates",
      ["01/02/2020", "2020-02-01", "2020-01-02", "{\"dates\": \"day-first\"}"]
    ],
    "dates that are written in two ways": [
      { "e.csv": lines(header, "u1,a,13/02/2020", "u1,b,02/13/2020", "u1,c,05/06/2020") },
      "MixedDates",
      ["13/02/2020", "02/13/2020"]
    ],
    "a time range where no column of times is recognised": [
      { "e.csv": lines("user_id,item_id,moment", "u1,a,1500000000", "u1,b,1500000001", "u1,c,1500000002") },
      "NoTimes",
      ["{\"columns\": {\"time\": \"moment\"}}"],
      { filter: filter({ from: 3 }) }
    ],
    "columns of other names": [
      { "log.csv": lines("shopper,thing,moment", "u1,a,1500000000", "u1,b,1500000001") },
      "MissingColumn",
      [
        "\"shopper\", \"thing\", \"moment\"",
        "u1 | a | 1500000000",
        "\"user\":\"shopper\"",
        "\"item\":\"thing\"",
        "--write"
      ]
    ],
    "several tables, none of events": [
      {
        "one.csv": lines("shopper,moment,thing", "u1,1500000000,a"),
        "two.csv": lines("x,y", "1,2"),
        "three.zip": "PK\u0003\u0004"
      },
      "UnknownForm",
      ["one.csv", "\"shopper\"", "it lacks a column of users", "two.csv", "three.zip", "--write"]
    ],
    "a folder of MiniOneRec without its training part": [
      { "X.item.json": "{\"0\": {\"title\": \"t\"}}", "X.index.json": "{}", "valid/X.csv": "a\n", "test/X.csv": "a\n" },
      "IncompleteFolder",
      ["MiniOneRec", "train/"]
    ],
    "a folder of LETTER without its items": [
      { "X.inter.json": "{\"0\": [0, 1, 2]}" },
      "IncompleteFolder",
      ["LETTER", "*.item.json"]
    ],
    "a column that sidereal.json names in vain": [
      {
        "e.csv": lines(header, ...rows),
        "g.csv": lines("item_id,title", "a,A"),
        "sidereal.json": "{\"items\": \"g.csv\", \"columns\": {\"brand\": \"maker\"}}"
      },
      "MissingColumn",
      ["g.csv", "maker"]
    ],
    "a file that sidereal.json names in vain": [
      { "e.csv": lines(header, ...rows), "sidereal.json": "{\"events\": \"log.csv\"}" },
      "Unreadable",
      ["log.csv", "sidereal.json names it"]
    ],
    "a setting that is none": [
      { "e.csv": lines(header, ...rows), "sidereal.json": "{\"columns\": {\"user\": 7}}" },
      "Unreadable",
      ["sidereal.json", "columns.user"]
    ],
    "an encoding that is none": [
      { "e.csv": lines(header, ...rows), "sidereal.json": "{\"encoding\": \"klingon\"}" },
      "Unreadable",
      ["klingon"]
    ]
  }
  for (const [what, [files, tag, words, options]] of Object.entries(refused)) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const error = yield* failing(files, undefined, options)
        assert.strictEqual(error._tag, "CatalogError")
        assert.strictEqual(error.reason._tag, tag, error.message)
        for (const word of words) assert.include(error.message, word)
      }).pipe(Effect.provide(services)))
  }

  it.effect("what has no times is told, with the columns that may hold them, and splits by time are refused", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "e.csv": lines("user_id,item_id,moment,price", "u1,a,1500000009,1", "u1,b,1500000001,2", "u1,c,1500000002,3")
      })
      assert.deepStrictEqual(named(dataset), { u1: "a b c" })
      assert.isUndefined(dataset.times)
      assert.isTrue(dataset.notes!.some((note) => note.includes("\"moment\"") && note.includes("order of the file")))
    }).pipe(Effect.provide(services)))
})

describe("Import.propose", () => {
  it.effect("names what is recognised, guesses the rest, and reads back; a file that is there stays", () =>
    Effect.gen(function*() {
      for (
        const files of [
          { "log.csv": lines("shopper,thing,moment", ...rows.map((row) => row.replace(/,(\d)$/, ",150000000$1"))) },
          { "log.csv": lines(...rows.map((row) => row.replace(/,(\d)$/, ",150000000$1"))) },
          {
            "log.csv": lines(
              "shopper;thing;moment",
              ...rows.map((row) => row.replace(/,(\d)$/, ",150000000$1").replaceAll(",", ";"))
            ),
            "notes.csv": lines("x,y", "1,2")
          },
          { "purchases.csv": lines(header, ...rows), "products.csv": lines("product_id,name", "a,A", "b,B") }
        ]
      ) {
        const folder = mkdtempSync(join(tmpdir(), "propose-"))
        for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
        const { file, text } = yield* Import.propose(folder)
        assert.deepStrictEqual(readdirSync(folder).toSorted(), Object.keys(files).toSorted())
        writeFileSync(file, text)
        assert.deepStrictEqual(named(yield* Import.load(folder)), wanted, text)
        const again = yield* Effect.flip(Import.propose(folder))
        assert.include(again.message, "already exists")
        rmSync(folder, { recursive: true })
      }
    }).pipe(Effect.provide(services)))
})
