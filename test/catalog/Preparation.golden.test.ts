import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as EventLog from "../../src/catalog/EventLog.ts"
import * as Preparation from "../../src/catalog/preparation/MiniOneRecPreparation.ts"
import * as TextCleaning from "../../src/catalog/preparation/TextCleaning.ts"
import * as PythonLiteral from "../../src/catalog/reader/PythonLiteral.ts"
import { golden, json, list } from "../Golden.ts"

const folder = join(golden, "sid")
const kind = list(folder).find((name) => name.endsWith("-dataprep"))
const at = (...path: ReadonlyArray<string>) => join(folder, kind!, ...path)
const text = (...path: ReadonlyArray<string>) => readFileSync(at(...path), "utf8")
const jsonLines = (...path: ReadonlyArray<string>) =>
  text(...path).split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Preparation.Metadata)

/** Records of a CSV file with quotes. */
const csv = (content: string): ReadonlyArray<Readonly<Record<string, string>>> => {
  const records: Array<Array<string>> = [[""]]
  let quoted = false
  for (let i = 0; i < content.length; i++) {
    const symbol = content[i]!
    const record = records.at(-1)!
    if (quoted) {
      if (symbol !== "\"") record[record.length - 1] += symbol
      else if (content[i + 1] === "\"") {
        record[record.length - 1] += symbol
        i++
      } else quoted = false
    } else if (symbol === "\"") quoted = true
    else if (symbol === ",") record.push("")
    else if (symbol === "\n") records.push([""])
    else if (symbol !== "\r") record[record.length - 1] += symbol
  }
  const [header, ...rows] = records.filter((record) => record.length > 1 || record[0] !== "")
  return rows.map((row) => Object.fromEntries(row.map((cell, i) => [header![i]!, cell])))
}

/** Seconds of the first of a month, UTC. */
const month = (year: number, of: number) => Date.UTC(year, of - 1, 1) / 1000

describe("the preparation of MiniOneRec's scripts", () => {
  if (kind === undefined) it.skipIf(true)("no case is here", () => {})
  else {
    const { end, runs, start } = json(at("summary.json"))
    for (const [name, run] of Object.entries<{ arguments: ReadonlyArray<string>; identical_to?: string }>(runs)) {
      const flag = (key: string) => {
        const found = run.arguments.indexOf(key)
        return found < 0 ? undefined : Number(run.arguments[found + 1])
      }
      const log = EventLog.builder()
      for (const line of jsonLines("raw", "reviews.json")) {
        log.add(String(line["reviewerID"]), String(line["asin"]), Number(line["unixReviewTime"]))
      }
      const first = new Date(start * 1000)
      const last = new Date(end * 1000)
      const dataset = Preparation.prepare("Toy", log.build(), jsonLines("raw", "meta.json"), {
        core: flag("--user_k") ?? 5,
        from: month(flag("--st_year") ?? first.getUTCFullYear(), flag("--st_month") ?? first.getUTCMonth() + 1),
        to: month(flag("--ed_year") ?? last.getUTCFullYear(), flag("--ed_month") ?? last.getUTCMonth() + 1)
      })
      const expected = existsSync(at(name)) ? name : run.identical_to!
      const file = (suffix: string) => list(at(expected)).find((one) => one.endsWith(suffix))!
      const parts = Preparation.parts(dataset)

      it(`${name}: the same users, items and numbers`, () => {
        const numbers = (suffix: string) =>
          text(expected, file(suffix)).trimEnd().split("\n").map((line) => line.split("\t")[0]!)
        assert.deepStrictEqual(dataset.userKeys, numbers(".user2id"))
        assert.deepStrictEqual(dataset.items.map(({ key }) => key), numbers(".item2id"))
        const sequences = Object.values<ReadonlyArray<number>>(json(at(expected, file(".inter.json"))))
        assert.deepStrictEqual(dataset.sequences.map((items) => [...items]), sequences.map((items) => [...items]))
      })

      it(`${name}: the same texts`, () => {
        const items = json(at(expected, file(".item.json"))) as Readonly<Record<string, Record<string, string>>>
        for (const [number, { brand, categories, description, title }] of dataset.items.entries()) {
          assert.deepStrictEqual(
            { title, description, brand, categories: categories.join(",") },
            items[number] as never
          )
        }
      })

      for (
        const [part, examples] of [["train", parts.train], ["valid", parts.validation], ["test", parts.test]] as const
      ) {
        it(`${name}: ${part} row for row`, () => {
          const [, ...rows] = text(expected, file(`.${part}.inter`)).trimEnd().split("\n")
          assert.deepStrictEqual(examples.map(Preparation.interRow), rows)
        })
        for (const variant of list(at(expected)).filter((one) => existsSync(at(expected, one, `${part}.csv`)))) {
          it(`${name}: ${variant}/${part}.csv row for row`, () => {
            const sids = new Map(
              Object.entries<ReadonlyArray<string>>(json(at(expected, file(".index.json")))).map(([item, tokens]) => [
                Number(item),
                tokens.join("")
              ])
            )
            const all = Preparation.rows(dataset, examples, sids)
            const chosen = variant.includes("longest") ? Preparation.longestOnly(all) : all
            const rows = csv(text(expected, variant, `${part}.csv`)).map((row) => ({
              ...row,
              history_item_title: PythonLiteral.tryParseList(row["history_item_title"]!),
              history_item_id: PythonLiteral.tryParseList(row["history_item_id"]!),
              item_id: Number(row["item_id"]),
              history_item_sid: PythonLiteral.tryParseList(row["history_item_sid"]!)
            }))
            assert.deepStrictEqual(chosen, rows as never)
          })
        }
      }
    }
  }
})

describe("text cleaning of MiniOneRec", () => {
  if (kind === undefined || !existsSync(at("text-cleaning.json"))) it.skipIf(true)("no case is here", () => {})
  else {
    const cases = json(at("text-cleaning.json"))
    for (const [i, { error, input, output }] of cases.text2emb_clean_text.entries()) {
      it(`encoder ${i}: ${JSON.stringify(input).slice(0, 60)}`, () => {
        assert.strictEqual(TextCleaning.clean(input), error === undefined ? output : undefined)
      })
    }
    for (const [i, { item, text: expected }] of cases.item_text.entries()) {
      it(`item text ${i}`, () => assert.strictEqual(TextCleaning.itemText(item), expected))
    }
    for (const [i, { input, output }] of cases.amazon18_clean_text.entries()) {
      it(`preparation ${i}: ${JSON.stringify(input)}`, () => assert.strictEqual(TextCleaning.prepare(input), output))
    }
  }
})

describe("PythonLiteral against ast.literal_eval", () => {
  if (kind === undefined || !existsSync(at("python-list-cells.json"))) it.skipIf(true)("no case is here", () => {})
  else {
    for (const one of json(at("python-list-cells.json"))) {
      it(JSON.stringify(one.cell), () => {
        const found = PythonLiteral.tryParseList(one.cell)
        if (one.error !== undefined || one.not_a_list !== undefined) assert.isUndefined(found)
        else assert.deepStrictEqual(found, one.value_json === undefined ? one.value : JSON.parse(one.value_json))
        if (one.error !== undefined) assert.isUndefined(PythonLiteral.tryParse(one.cell))
      })
    }
  }
})

describe("PythonLiteral.print", () => {
  it("is what it reads back", () => {
    for (
      const value of [["it's", "say \"x\"", "both '\"", "a\nb\t\\", "é\u200b\u00a0", "🔧"], { k: [1, null, true] }, []]
    ) {
      assert.deepStrictEqual(PythonLiteral.tryParse(PythonLiteral.print(value)), value)
    }
  })
})
