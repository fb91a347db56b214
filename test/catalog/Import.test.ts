import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { gzipSync } from "node:zlib"
import { FilterConfig } from "../../src/catalog/Assemble.ts"
import { type CatalogError } from "../../src/catalog/CatalogError.ts"
import { events } from "../../src/catalog/Dataset.ts"
import * as DatasetFile from "../../src/catalog/DatasetFile.ts"
import * as Import from "../../src/catalog/Import.ts"
import { data, list } from "../Golden.ts"
import { counted } from "./Downloaded.ts"
import { filter, importing, services } from "./Importing.ts"

const failing = (files: Readonly<Record<string, string | Uint8Array>>, file?: string, options = {}) =>
  importing(files, file, options).pipe(Effect.flip, Effect.map((error) => error as CatalogError))

const rows = [
  ["u1", "a", "30"],
  ["u1", "b", "10"],
  ["u2", "b", "5"],
  ["u1", "c", "20"],
  ["u2", "c", "6"],
  ["u2", "a", "6"],
  ["u2", "a", "6"]
]
const header = ["user_id", "item_id", "timestamp"]
const csv = (table: ReadonlyArray<ReadonlyArray<string>>, separator = ",") =>
  table.map((row) => row.join(separator)).join("\n") + "\n"

const expectRows = (dataset: Effect.Success<ReturnType<typeof importing>>) => {
  const named = Object.fromEntries(dataset.userKeys.map((user, u) => [
    user,
    [...dataset.sequences[u]!].map((item) => dataset.items[item]!.key).join("")
  ]))
  assert.deepStrictEqual(named, { u2: "bca", u1: "bca" })
  assert.strictEqual(dataset.counts.find((count) => count.step === "duplicate events dropped")?.count, 1)
}

describe("Import.load of tables", () => {
  it.effect("reads CSV, TSV, JSON lines and gzip in order of time, dropping exact duplicates", () =>
    Effect.gen(function*() {
      expectRows(yield* importing({ "e.csv": csv([header, ...rows]) }, "e.csv"))
      expectRows(yield* importing({ "e.tsv": csv([header, ...rows], "\t") }, "e.tsv"))
      expectRows(yield* importing({ "e.csv.gz": gzipSync(csv([header, ...rows])) }))
      expectRows(
        yield* importing({
          "e.jsonl": rows.map(([user, asin, time]) =>
            JSON.stringify({ reviewerID: user, asin, unixReviewTime: Number(time) })
          ).join("\n")
        })
      )
    }).pipe(Effect.provide(services)))

  it.effect("reads Parquet", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped()
      const file = path.join(folder, "e.parquet")
      yield* Effect.promise(async () => {
        const connection = await (await DuckDBInstance.create(":memory:")).connect()
        const values = rows.map(([user, item, time]) => `('${user}', '${item}', ${time})`).join(", ")
        await connection.run(
          `COPY (SELECT * FROM (VALUES ${values}) t(user_id, item_id, timestamp)) TO '${file}' (FORMAT parquet)`
        )
        connection.closeSync()
      })
      expectRows(yield* Import.load(file))
    }).pipe(Effect.scoped, Effect.provide(services)))

  it.effect("finds events and items among the files of a folder, and keeps items that the items table lacks", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "purchases.csv": csv([header, ...rows]),
        "products.csv": csv([["item_id", "title", "brand", "categories"], ["a", "\"A, the first\"", "X", "\"p|q\""], [
          "b",
          "B",
          "",
          ""
        ]]),
        "notes.txt": "not a table"
      })
      const byKey = new Map(dataset.items.map((item) => [item.key, item]))
      assert.deepStrictEqual(byKey.get("a"), {
        key: "a",
        title: "A, the first",
        description: "",
        brand: "X",
        categories: ["p", "q"]
      })
      assert.strictEqual(byKey.get("c")!.title, "c")
      assert.strictEqual(dataset.counts.find((count) => count.step.startsWith("items without"))?.count, 1)
    }).pipe(Effect.provide(services)))

  it.effect("takes names from sidereal.json, and dates as times", () =>
    Effect.gen(function*() {
      expectRows(
        yield* importing({
          "sidereal.json": JSON.stringify({ events: "log.csv", columns: { user: "who", item: "what", time: "when" } }),
          "log.csv": csv([
            ["who", "what", "when"],
            ...rows.map(([user, item, time]) => [user!, item!, `2026-01-${time!.padStart(2, "0")}T00:00:00Z`])
          ])
        })
      )
    }).pipe(Effect.provide(services)))

  it.effect("drops users and items below the core until none is left", () =>
    Effect.gen(function*() {
      const table = [header]
      for (const user of ["p", "q", "r"]) {
        for (const item of ["a", "b", "c"]) table.push([user, item, String(table.length)])
      }
      table.push(["lonely", "a", "99"], ["p", "rare", "100"])
      const dataset = yield* importing({ "e.csv": csv(table) }, "e.csv", {
        filter: Schema.decodeSync(FilterConfig)({ core: 3 })
      })
      assert.deepStrictEqual([dataset.sequences.length, dataset.items.length, events(dataset)], [3, 3, 9])
    }).pipe(Effect.provide(services)))

  it.effect("refuses what it cannot use, naming file, line or column and the remedy", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<
        readonly [string, Effect.Effect<CatalogError, unknown, FileSystem.FileSystem>, string, ReadonlyArray<string>]
      > = [
        [
          "a missing column",
          failing({ "e.csv": csv([["user_id", "thing"], ["u", "a"]]) }, "e.csv") as never,
          "MissingColumn",
          ["e.csv", "item", "thing", "sidereal.json"]
        ],
        [
          "a column that sidereal.json names in vain",
          failing({
            "sidereal.json": JSON.stringify({ events: "e.csv", columns: { time: "when" } }),
            "e.csv": csv([header, ...rows])
          }) as never,
          "MissingColumn",
          ["when"]
        ],
        [
          "a time that is none, when nothing may be left out",
          failing(
            { "e.csv": csv([header, ...rows, ["u", "b", "soon"]]) },
            "e.csv",
            { strict: true }
          ) as never,
          "BadRow",
          ["line 9", "timestamp", "soon", "--strict"]
        ],
        [
          "a row with too many cells, when nothing may be left out",
          failing({ "e.csv": `${csv([header, ...rows])}u,b,2,3,4\n` }, "e.csv", { strict: true }) as never,
          "BadRow",
          ["line 9", "too many columns"]
        ],
        [
          "rows without a user alone",
          failing({ "e.csv": csv([header, ["NULL", "a", "1"], ["", "a", "1"], ["\\N", "b", "1"]]) }) as never,
          "NoEvents",
          ["e.csv", "no user_id: 3"]
        ],
        ["a file that is empty", failing({ "e.csv": "" }, "e.csv") as never, "Unreadable", ["e.csv", "empty"]],
        [
          "a gzip that breaks off",
          failing(
            { "e.csv.gz": gzipSync(csv([header, ...Array.from({ length: 99 }, () => rows).flat()])).subarray(0, 80) },
            "e.csv.gz"
          ) as never,
          "Unreadable",
          ["e.csv.gz", "unexpected end"]
        ],
        [
          "shuffled ties without times",
          failing(
            { "seq.txt": "u 1 2 3\nv 3 2 1\n" },
            "seq.txt",
            { filter: filter({ ties: "shuffled" }) }
          ) as never,
          "NoTimes",
          ["--ties shuffled"]
        ],
        [
          "a sequence with a word in it",
          failing({ "seq.txt": `${"u 1 2 3\n".repeat(60)}v 3 two 1\n` }, "seq.txt", { strict: true }) as never,
          "BadRow",
          ["line 61", "two"]
        ],
        ["a header and nothing else", failing({ "e.csv": csv([header]) }) as never, "NoEvents", ["e.csv"]],
        [
          "a one-item catalogue",
          failing({ "e.csv": csv([header, ["u", "a", "1"], ["v", "a", "2"]]) }) as never,
          "TooFewItems",
          ["1 item"]
        ],
        [
          "users with two events each",
          failing({ "e.csv": csv([header, ["u", "a", "1"], ["u", "b", "2"]]) }) as never,
          "NoEvents",
          ["three events"]
        ],
        ["an empty folder", failing({ "readme.txt": "" }) as never, "UnknownForm", ["readme.txt", "Known formats"]],
        ["a path that is not there", Effect.flip(Import.load("/nowhere/at/all")) as never, "Unreadable", [
          "/nowhere/at/all"
        ]],
        [
          "a sidereal.json with an unknown key",
          failing({ "sidereal.json": "{\"evnts\": \"e.csv\"}", "e.csv": csv([header, ...rows]) }) as never,
          "Unreadable",
          ["sidereal.json", "evnts"]
        ],
        [
          "a Parquet file that is none",
          failing({ "e.parquet": "PAR0,nothing" }, "e.parquet") as never,
          "MissingColumn",
          [
            "e.parquet",
            "PAR0"
          ]
        ],
        [
          "an archive",
          failing({ "e.csv.gz": Buffer.from("PK\u0003\u0004 and more") }, "e.csv.gz") as never,
          "Unreadable",
          ["e.csv.gz", "zip archive", "unpack"]
        ]
      ]
      for (const [what, run, tag, words] of cases) {
        const error = yield* run
        assert.strictEqual(error._tag, "CatalogError", what)
        assert.strictEqual(error.reason._tag, tag, `${what}: ${error.message}`)
        for (const word of words) assert.include(error.message, word, what)
      }
    }).pipe(Effect.provide(services)) as Effect.Effect<void>)
})

describe("Import.load of LETTER folders", () => {
  const item = (title: string) => ({ title, description: "d", brand: "b", categories: "x,y" })

  it.effect("reads users in the order of the file", () =>
    Effect.gen(function*() {
      const dataset = yield* importing({
        "S.inter.json": JSON.stringify({ 5: [1, 0, 2], 9: [2, 1, 0] }),
        "S.item.json": JSON.stringify({ 0: item("zero"), 1: item("one"), 2: { title: "two", categories: ["z"] } })
      })
      assert.deepStrictEqual(dataset.userKeys, ["5", "9"])
      assert.deepStrictEqual(dataset.sequences.map((sequence) => [...sequence]), [[1, 0, 2], [2, 1, 0]])
      assert.deepStrictEqual(dataset.items[0]!.categories, ["x", "y"])
      assert.deepStrictEqual(DatasetFile.decode(DatasetFile.encode(dataset)), dataset)
    }).pipe(Effect.provide(services)))

  it.effect("refuses an item that the catalogue lacks, and JSON that breaks off", () =>
    Effect.gen(function*() {
      const texts = JSON.stringify({ 0: item("zero"), 1: item("one") })
      const unknown = yield* failing(
        { "S.inter.json": JSON.stringify({ 0: [0, 7, 1] }), "S.item.json": texts },
        undefined,
        { strict: true }
      )
      assert.strictEqual(unknown.reason._tag, "BadRow")
      assert.include(unknown.message, "item 2 of user 0 is 7")
      const broken = yield* failing({ "S.inter.json": "{\"0\": [0,", "S.item.json": texts })
      assert.strictEqual(broken.reason._tag, "Unreadable")
      assert.include(broken.message, "S.inter.json")
    }).pipe(Effect.provide(services)))
})

if (list(data).length === 0) it.skipIf(true)("no data is here", () => {})
counted("amazon18-scientific", 8317, 4344, 58492)
counted("amazon14-beauty", 22363, 12101, 198502)
