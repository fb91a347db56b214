/**
 * Random shops written in any form, and what a reader that makes no mistake finds in them.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { gzipSync } from "node:zlib"
import { type Dataset } from "../../src/catalog/Dataset.ts"
import * as Random from "../../src/statistics/Random.ts"
import { importing, services } from "./Importing.ts"

/** What a random shop holds: events in the order of the file, titles by item. */
interface Shop {
  readonly events: ReadonlyArray<{ readonly user: string; readonly item: string; readonly time: number }>
  readonly titles: ReadonlyMap<string, string>
}

interface Alphabet {
  readonly users: ReadonlyArray<string>
  readonly items: ReadonlyArray<string>
  readonly titles: ReadonlyArray<string>
}

/** Keys and titles that are easily mistaken; `plain` ones can be written in any encoding and without quotes. */
export const alphabets: Readonly<Record<"wild" | "latin" | "plain", Alphabet>> = {
  wild: {
    users: ["u,1", "0012", "12", "12345678901234567890", "12345678901234567891", "Зоя", "O'Brien", "a b", "u\"q\""],
    items: [
      "i;1",
      "007",
      "7",
      "9007199254740993",
      "9007199254740992",
      "書",
      "x|y",
      "i\tz",
      "é",
      "it'em",
      "constructor"
    ],
    titles: [
      "Red, \"the\" one",
      "two\nlines",
      "猫の本",
      "🍔 & 🍟",
      "a;b|c\td",
      "l'été",
      "-",
      "NULL and void",
      "  spaced  out"
    ]
  },
  latin: {
    users: ["café", "Müller", "señor", "u1", "u2", "01", "1"],
    items: ["crème", "brûlée", "i1", "i2", "0012", "12", "Straße"],
    titles: ["Grüße, Welt", "L'été", "¿Qué?", "plain", "Ærø", "naïve \"quote\""]
  },
  plain: {
    users: ["0012", "12", "A1", "b2", "12345678901234567890", "12345678901234567891", "u-7"],
    items: ["007", "7", "B00X1", "c3", "9007199254740993", "9007199254740992", "i_5", "q9"],
    titles: ["Red mug", "Blue mug", "Old book", "Pen 3", "Notebook"]
  }
}

export const shopOf = (seed: number, { items, titles, users }: Alphabet): Shop => {
  const next = Random.uniform(seed, 0xf11e)
  const pick = <A>(list: ReadonlyArray<A>): A => list[Math.floor(next() * list.length)]!
  const events = users.flatMap((user) =>
    Array.from({ length: 3 + Math.floor(next() * 4) }, () => ({
      user,
      item: pick(items),
      time: 1_600_000_000 + Math.floor(next() * 1e8)
    }))
  )
  const order = Random.permutation(events.length, seed, 0xf11f)
  return {
    events: Array.from(order, (e) => events[e]!),
    titles: new Map(items.map((item, i) => [item, `${pick(titles)} ${i}`]))
  }
}

/** Sequences by user, and titles, as a reader that makes no mistake finds them. */
export const wanted = ({ events, titles }: Shop) => {
  const sorted = events.map((event, at) => ({ ...event, at })).toSorted((a, b) => a.time - b.time || a.at - b.at)
  const sequences = new Map<string, Array<string>>()
  const seen = new Set<string>()
  for (const { item, time, user } of sorted) {
    const once = JSON.stringify([user, item, time])
    if (seen.has(once)) continue
    seen.add(once)
    sequences.set(user, [...sequences.get(user) ?? [], item])
  }
  const met = new Set(events.map(({ item }) => item))
  return { sequences, titles: new Map([...titles].filter(([item]) => met.has(item))) }
}

export const found = (dataset: Dataset) => ({
  sequences: new Map(dataset.userKeys.map((user, u) => [
    user,
    Array.from(dataset.sequences[u]!, (item) => dataset.items[item]!.key)
  ])),
  titles: new Map(dataset.items.map(({ key, title }) => [key, title]))
})

export const byKey = <A>(map: ReadonlyMap<string, A>) =>
  Object.fromEntries([...map].toSorted(([a], [b]) => (a < b ? -1 : 1)))

export const compare = (dataset: Dataset, shop: Shop, what: string) => {
  const [is, ought] = [found(dataset), wanted(shop)]
  assert.deepStrictEqual(byKey(is.sequences), byKey(ought.sequences), what)
  assert.deepStrictEqual(byKey(is.titles), byKey(ought.titles), what)
  assert.deepStrictEqual(dataset.malformed, [], what)
}

export type Rows = ReadonlyArray<ReadonlyArray<string>>

export const tablesOf = ({ events, titles }: Shop): { readonly events: Rows; readonly items: Rows } => ({
  events: [["user_id", "item_id", "timestamp"], ...events.map(({ item, time, user }) => [user, item, String(time)])],
  items: [["item_id", "title"], ...[...titles].map(([item, title]) => [item, title])]
})

export const written = (rows: Rows, separator: string, lineEnd: string, quoting: "needed" | "all"): string =>
  rows.map((row) =>
    row.map((cell) =>
      quoting === "all" || cell.includes(separator) || /["\n\r]/.test(cell)
        ? `"${cell.replaceAll("\"", "\"\"")}"`
        : cell
    ).join(separator)
  ).join(lineEnd) + lineEnd

const encodings = {
  "UTF-8": (text: string) => Buffer.from(text),
  "UTF-8 with a mark": (text: string) => Buffer.from(`\ufeff${text}`),
  "UTF-16 LE": (text: string) => Buffer.from(`\ufeff${text}`, "utf16le"),
  "UTF-16 BE": (text: string) => Buffer.from(`\ufeff${text}`, "utf16le").swap16(),
  "latin-1": (text: string) => Buffer.from(text, "latin1")
}

type Encoding = keyof typeof encodings

/** Tables of any separator, line end and quoting, plain and packed. */
export const delimited = (name: Encoding, separators: ReadonlyArray<string> = [",", ";", "\t", "|"]): void => {
  const encode = encodings[name]
  const between = separators.map((separator) => JSON.stringify(separator)).join(" ")
  it.effect(`what is written is read back as delimited text: ${name}, every line end and quoting, with ${between}`, () =>
    Effect.gen(function*() {
      let seed = 1
      const alphabet = alphabets[name === "latin-1" ? "latin" : "wild"]
      for (const separator of separators) {
        for (const lineEnd of ["\n", "\r\n", "\r"]) {
          for (const quoting of ["needed", "all"] as const) {
            // A file whose lines end in CR alone has no other line ends.
            const titles = alphabet.titles.filter((title) => lineEnd !== "\r" || !title.includes("\n"))
            const shop = shopOf(seed++, { ...alphabet, titles })
            const tables = tablesOf(shop)
            const pack = seed % 3 === 0 ? gzipSync : (bytes: Buffer) => bytes
            const bytes = (rows: Rows) => pack(encode(written(rows, separator, lineEnd, quoting)))
            const ending = `${separator === "\t" ? "tsv" : "csv"}${seed % 3 === 0 ? ".gz" : ""}`
            compare(
              yield* importing({ [`log.${ending}`]: bytes(tables.events), [`goods.${ending}`]: bytes(tables.items) }),
              shop,
              JSON.stringify([name, separator, lineEnd, quoting, ending])
            )
          }
        }
      }
    }).pipe(Effect.provide(services)))
}

/** Records of any shape and line end, plain and packed. */
export const json = (name: Encoding): void => {
  const encode = encodings[name]
  it.effect(`what is written is read back as JSON: ${name}, lines, arrays, pretty or not, wrapped`, () =>
    Effect.gen(function*() {
      let seed = 50
      const records = (rows: Rows) =>
        rows.slice(1).map((row) => Object.fromEntries(rows[0]!.map((column, c) => [column, row[c]!])))
      const shapes: Readonly<Record<string, (rows: ReadonlyArray<object>, end: string) => string>> = {
        "lines": (rows, end) => rows.map((row) => JSON.stringify(row)).join(end) + end,
        "an array in one line": (rows) => JSON.stringify(rows),
        "a pretty array": (rows, end) => JSON.stringify(rows, undefined, 2).replaceAll("\n", end),
        "pretty objects": (rows, end) =>
          rows.map((row) => JSON.stringify(row, undefined, 1).replaceAll("\n", end)).join(end),
        "wrapped": (rows) => JSON.stringify({ data: rows })
      }
      for (const [shape, print] of Object.entries(shapes)) {
        for (const lineEnd of ["\n", "\r\n"]) {
          const shop = shopOf(seed++, alphabets.wild)
          const tables = tablesOf(shop)
          const pack = seed % 2 === 0 ? gzipSync : (bytes: Buffer) => bytes
          const ending = `json${seed % 2 === 0 ? ".gz" : ""}`
          compare(
            yield* importing({
              [`log.${ending}`]: pack(encode(print(records(tables.events), lineEnd))),
              [`goods.${ending}`]: pack(encode(print(records(tables.items), lineEnd)))
            }),
            shop,
            JSON.stringify([name, shape, lineEnd, ending])
          )
        }
      }
    }).pipe(Effect.provide(services)))
}
