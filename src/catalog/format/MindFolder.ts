/**
 * Folders of MIND (Microsoft News): `behaviors.tsv` with impressions and the click history before them, `news.tsv` with
 * titles; neither has a header line.
 *
 * A user's sequence is the history of the first impression, oldest first, then the clicked news of the impressions in
 * order of time. The history has no times, so the data have none.
 */
import * as Effect from "effect/Effect"
import { type Dataset, type Item } from "../Dataset.ts"
import * as EventTime from "../reader/EventTime.ts"
import * as Malformed from "../reader/Malformed.ts"
import { type TableForm, TableReader } from "../reader/TableReader.ts"

const behaviours = ["impression", "user", "time", "history", "impressions"]
const news = ["item", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities"]
const form = (columns: ReadonlyArray<string>): TableForm => ({ columns, separator: "\t", quote: null })

/** Returns the files of a folder in this format; the news may be absent. */
export const find = (
  names: ReadonlyArray<string>
): { readonly behaviours: string; readonly news: string | undefined } | undefined => {
  const named = (name: string) => names.find((one) => [name, `${name}.gz`].includes(one.toLowerCase()))
  const file = named("behaviors.tsv")
  return file === undefined ? undefined : { behaviours: file, news: named("news.tsv") }
}

/** Reads the two files. */
export const load = Effect.fn("MindFolder.load")(function*(
  name: string,
  behavioursFile: string,
  newsFile: string | undefined,
  strict: boolean
) {
  const reader = yield* TableReader
  const log = yield* reader.read(behavioursFile, behaviours, { form: form(behaviours), key: "user" })
  yield* Malformed.settle(behavioursFile, log.findings, strict)
  const times = EventTime.column(log.rows.map((row) => row[2] ?? ""), { order: "month-first" })
  if (times._tag !== "Times") {
    return yield* EventTime.failure(times, behavioursFile, "time")
  }
  const users = new Map<string, { history: ReadonlyArray<string>; clicks: Array<readonly [number, string]> }>()
  const words = (text: string | null | undefined) => (text ?? "").split(/\s+/).filter((word) => word !== "")
  const order = log.rows.map((_, r) => r).toSorted((a, b) => times.times[a]! - times.times[b]! || a - b)
  for (const r of order) {
    const [, user, , history, impressions] = log.rows[r]!
    let known = users.get(user!)
    if (known === undefined) users.set(user!, known = { history: words(history), clicks: [] })
    for (const shown of words(impressions)) {
      if (shown.endsWith("-1")) known.clicks.push([times.times[r]!, shown.slice(0, -2)])
    }
  }
  const texts = new Map<string, Item>()
  const findings = [log.findings]
  if (newsFile !== undefined) {
    const table = yield* reader.read(newsFile, news, { form: form(news), key: "item" })
    yield* Malformed.settle(newsFile, table.findings, strict)
    findings.push(table.findings)
    for (const [key, category, subcategory, title, abstract] of table.rows) {
      texts.set(key!, {
        key: key!,
        title: title || key!,
        description: abstract ?? "",
        brand: "",
        categories: [category, subcategory].filter((part) =>
          part !== null && part !== undefined && part !== ""
        ) as Array<
          string
        >
      })
    }
  }
  const numbers = new Map<string, number>()
  const numberOf = (key: string): number => {
    const known = numbers.get(key)
    if (known !== undefined) return known
    numbers.set(key, numbers.size)
    return numbers.size - 1
  }
  const met = [...users].filter(([, { clicks, history }]) => clicks.length + history.length > 0)
  const sequences = met.map(([, { clicks, history }]) =>
    Int32Array.from([...history, ...clicks.map(([, key]) => key)], numberOf)
  )
  const all = Malformed.joined(findings)
  const dataset: Dataset = {
    name,
    items: [...numbers.keys()].map((key) =>
      texts.get(key) ?? { key, title: key, description: "", brand: "", categories: [] }
    ),
    userKeys: met.map(([user]) => user),
    sequences,
    counts: [
      { step: "impressions read", count: log.rows.length },
      { step: "users read", count: met.length },
      { step: "events read", count: sequences.reduce((sum, list) => sum + list.length, 0) },
      { step: "items with a title", count: [...numbers.keys()].filter((key) => texts.has(key)).length },
      ...all.problems
    ],
    malformed: all.malformed,
    notes: ["MIND: a user's history comes first, then the clicked impressions in order of time; events have no times"]
  }
  return dataset
})
