import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Files, importing, services } from "./Importing.ts"
import {
  alphabets,
  byKey,
  compare,
  delimited,
  found,
  json,
  type Rows,
  shopOf,
  tablesOf,
  wanted,
  written
} from "./RoundTrip.ts"

json("UTF-8")

// Every separator has its turn in every encoding in the long suite.
delimited("UTF-8", [",", ";"])
delimited("UTF-8 with a mark", [";"])
delimited("UTF-16 LE", ["\t"])
delimited("UTF-16 BE", [","])
delimited("latin-1", ["|"])
json("UTF-16 LE")

describe("what is written is read back", () => {
  it.effect("as Parquet", () =>
    Effect.gen(function*() {
      for (let seed = 70; seed < 74; seed++) {
        const shop = shopOf(seed, alphabets.wild)
        const tables = tablesOf(shop)
        const bytes = (rows: Rows, types: ReadonlyArray<string>) =>
          Effect.promise(async () => {
            const folder = mkdtempSync(join(tmpdir(), "parquet-"))
            const connection = await (await DuckDBInstance.create(":memory:")).connect()
            const text = (cell: string) => `'${cell.replaceAll("'", "''")}'`
            const values = rows.slice(1).map((row) =>
              `(${row.map((cell, c) => `${text(cell)}::${types[c]!}`).join(", ")})`
            )
            await connection.run(
              `COPY (SELECT * FROM (VALUES ${values.join(", ")}) t(${rows[0]!.join(", ")})) ` +
                `TO '${folder}/t' (FORMAT parquet)`
            )
            connection.closeSync()
            const content = readFileSync(join(folder, "t"))
            rmSync(folder, { recursive: true })
            return content
          })
        compare(
          yield* importing({
            "log.parquet": yield* bytes(tables.events, ["VARCHAR", "VARCHAR", "BIGINT"]),
            "goods.parquet": yield* bytes(tables.items, ["VARCHAR", "VARCHAR"])
          }),
          shop,
          `parquet ${seed}`
        )
      }
    }).pipe(Effect.provide(services)))

  it.effect("as RecBole's files, tables without a header, sequences, LETTER folders, and in parts", () =>
    Effect.gen(function*() {
      for (let seed = 80; seed < 86; seed++) {
        const shop = shopOf(seed, alphabets.plain)
        const tables = tablesOf(shop)
        const lineEnd = seed % 2 === 0 ? "\n" : "\r\n"
        const plain = (rows: Rows) => written(rows, "\t", lineEnd, "needed")
        const { sequences, titles } = wanted(shop)
        const numbers = new Map([...titles.keys()].map((item, i) => [item, i]))
        const half = tables.events.length >> 1
        const [head, ...rows] = tables.events
        const forms: Readonly<Record<string, Files>> = {
          "RecBole": {
            "x.inter": plain([["user_id:token", "item_id:token", "timestamp:float"], ...rows]),
            "x.item": plain([["item_id:token", "title:token_seq"], ...tables.items.slice(1)])
          },
          "no header": {
            "log.csv": written(rows, ",", lineEnd, "needed"),
            "goods.csv": written(tables.items.slice(1), ",", lineEnd, "needed"),
            "sidereal.json": JSON.stringify({
              events: { file: "log.csv", header: ["user", "item", "time"] },
              items: { file: "goods.csv", header: ["item", "title"] }
            })
          },
          "other names in each table": {
            "log.csv": written([["who", "what", "when"], ...rows], ",", lineEnd, "all"),
            "goods.csv": written([["code", "called"], ...tables.items.slice(1)], ";", lineEnd, "needed"),
            "sidereal.json": JSON.stringify({
              events: { file: "log.csv", columns: { user: "who", item: "what", time: "when" } },
              items: { file: "goods.csv", columns: { item: "code", title: "called" } }
            })
          },
          "parts": {
            "log.csv/part-00000-7d0e.csv": written([head!, ...rows.slice(0, half)], ",", lineEnd, "needed"),
            "log.csv/part-00001-7d0e.csv": written([head!, ...rows.slice(half)], ",", lineEnd, "needed"),
            "log.csv/_SUCCESS": "",
            "log.csv/.part-00000-7d0e.csv.crc": "crc",
            "goods.csv": written(tables.items, ",", lineEnd, "needed")
          },
          "LETTER": {
            "x.inter.json": JSON.stringify(
              Object.fromEntries([...sequences].map(([user, items]) => [user, items.map((item) => numbers.get(item))]))
            ),
            "x.item.json": JSON.stringify(
              Object.fromEntries([...titles].map(([item, title]) => [numbers.get(item), { title }]))
            )
          }
        }
        for (const [form, files] of Object.entries(forms)) {
          const dataset = yield* importing(files)
          if (form !== "LETTER") {
            compare(dataset, shop, `${form} ${seed}`)
            continue
          }
          const named = new Map(
            [...sequences].map(([user, items]) => [user, items.map((item) => String(numbers.get(item)))])
          )
          assert.deepStrictEqual(byKey(found(dataset).sequences), byKey(named))
        }
        const text = [...sequences].map(([user, items]) => [user, ...items].join(" ")).join(lineEnd)
        const lines = yield* importing({ "x.txt": text, "goods.csv": written(tables.items, ",", "\n", "needed") })
        compare(lines, shop, `sequences ${seed}`)
      }
    }).pipe(Effect.provide(services)))
})
