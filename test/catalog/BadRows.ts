/**
 * Rows that are no events, beside eight that are.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { basename } from "node:path"
import { gzipSync } from "node:zlib"
import { type CatalogError } from "../../src/catalog/CatalogError.ts"
import { type Dataset, events } from "../../src/catalog/Dataset.ts"
import type * as Import from "../../src/catalog/Import.ts"
import { type Files, importing, services } from "./Importing.ts"

export const header = "user_id,item_id,timestamp,rating"
/** Eight usable rows: users p and q, four items each. */
export const good = ["p", "q"].flatMap((user) => ["a", "b", "c", "d"].map((item, i) => `${user},${item},${i + 1},5`))
export const csv = (...more: ReadonlyArray<string>) => [header, ...good, ...more].join("\n") + "\n"
export const latin1 = (text: string) => Buffer.from(text, "latin1")

export const lax = (files: Files, file?: string, options: Import.ImportOptions = {}) =>
  importing(files, file, options).pipe(Effect.flip, Effect.map((error) => error as CatalogError))
export const failing = (files: Files, file?: string) => lax(files, file, { strict: true })

/** What a data set tells of its malformed rows: how many of each kind, and the lines of the first. */
export const told = ({ counts, malformed }: Dataset) => [
  Object.fromEntries(
    counts.filter(({ step }) => step.includes("left out: ")).map(({ count, step }) => [
      step.replace(/^rows left out: /, ""),
      count
    ])
  ),
  (malformed ?? []).map(({ file, line }) => `${basename(file)}:${line}`)
]

/** Rows that are no events, put below the eight that are: what they are told as. Their line is 10. */
const malformed: Readonly<Record<string, readonly [row: string | Uint8Array, kind: string, shown: string]>> = {
  "too many cells": ["p,e,1,5,6", "too many columns", "p,e,1,5,6"],
  "too few cells": ["p,e", "too few columns", "p,e"],
  "no user": [",e,1,5", "no user_id", "empty"],
  "no item": ["p,,1,5", "no item_id", "empty"],
  "no time": ["p,e,,5", "timestamp is neither a number nor a date", "empty"],
  "a word for a time": ["p,e,soon,5", "timestamp is neither a number nor a date", "soon"],
  "a word that the host takes for a date": ["p,e,soon 1,5", "timestamp is neither a number nor a date", "soon 1"],
  "a day that no month has": ["p,e,2026-02-30,5", "timestamp is neither a number nor a date", "2026-02-30"],
  "hexadecimal": ["p,e,0x10,5", "timestamp is neither a number nor a date", "0x10"],
  "an infinite time": ["p,e,inf,5", "timestamp is neither a number nor a date", "inf"],
  "a time beyond all numbers": ["p,e,1e999,5", "timestamp is neither a number nor a date", "1e999"],
  "a time that is NaN": ["p,e,NaN,5", "timestamp is neither a number nor a date", "NaN"],
  "bad UTF-8": [latin1("p,caf\u00e9,1,5"), "bytes that are not UTF-8", "caf"],
  "a quote inside a quoted cell": ["\"p\"x,e,1,5", "a quote that is not closed or stands inside a cell", "\"p\"x,e,1,5"]
}

export const withRow = (row: string | Uint8Array, ...after: ReadonlyArray<string>) =>
  Buffer.concat([Buffer.from(csv()), Buffer.from(row), Buffer.from(["", ...after].join("\n") + "\n")])

/** Some kinds of rows in a file, plain or packed. */
export const leftOut = (file: "e.csv" | "e.csv.gz", kinds = Object.keys(malformed)): void => {
  for (const what of kinds) {
    const [row, kind, shown] = malformed[what]!
    it.effect(`${what} in ${file}: left out, counted and told; an error when strict`, () =>
      Effect.gen(function*() {
        const bytes = withRow(row, "q,e,9,5")
        const content = file.endsWith(".gz") ? gzipSync(bytes) : bytes
        const dataset = yield* importing({ [file]: content })
        assert.deepStrictEqual(told(dataset), [{ [kind]: 1 }, [`${file}:10`]])
        assert.strictEqual(events(dataset), 9)
        assert.deepInclude(dataset.counts, { step: `rows left out: ${kind}`, count: 1 })
        const error = yield* failing({ [file]: content })
        assert.strictEqual(error.reason._tag, "BadRow")
        assert.include(error.message, `${file}, line 10`)
        assert.include(error.message, kind)
        assert.include(error.message, shown)
      }).pipe(Effect.provide(services)))
  }
}
