/**
 * The data sets that MiniOneRec's scripts make of Amazon reviews and metadata, row for row: which items and events stay,
 * how they are numbered, the sliding windows of the three parts and their form as CSV rows.
 *
 * Times are UTC; the scripts take local midnight.
 */
import * as Schema from "effect/Schema"
import * as Assemble from "../Assemble.ts"
import { type Dataset, type Example, type Item } from "../Dataset.ts"
import { type EventLog } from "../EventLog.ts"
import type * as PythonLiteral from "../reader/PythonLiteral.ts"
import * as Split from "../Split.ts"
import * as TextCleaning from "./TextCleaning.ts"

/** A line of metadata. */
export type Metadata = Readonly<Record<string, PythonLiteral.PythonValue>>

/** Arguments of the preparing script. */
export interface PreparationOptions {
  /** k of the core. */
  readonly core: number
  /** Seconds since 1970; both ends belong to the range. */
  readonly from: number
  readonly to: number
}

const categoriesOf = (value: PythonLiteral.PythonValue | undefined): string =>
  (Array.isArray(value) ? value as ReadonlyArray<PythonLiteral.PythonValue> : []).flat()
    .map((name) => TextCleaning.strip(String(name))).filter((name) => !name.includes("</span>")).join(",")

const itemOf = (key: string, title: string, last: Metadata): Item => {
  const brand = last["brand"]
  const categories = categoriesOf(last["categories"])
  return {
    key,
    title,
    description: TextCleaning.prepare(last["description"]),
    brand: typeof brand === "string" ? TextCleaning.strip(brand.replaceAll("by\n", "")) : "",
    categories: categories === "" ? [] : categories.split(",")
  }
}

/** Items with a usable title: the last such title, the other fields of an item's last line. */
export const itemsOf = (lines: Iterable<Metadata>): ReadonlyMap<string, Item> => {
  const titles = new Map<string, string>()
  const last = new Map<string, Metadata>()
  for (const line of lines) {
    const key = String(line["asin"])
    last.set(key, line)
    const title = Assemble.miniOneRecTitle(typeof line["title"] === "string" ? line["title"] : undefined)
    if (title !== undefined) titles.set(key, title)
  }
  return new Map([...titles].map(([key, title]) => [key, itemOf(key, title, last.get(key)!)]))
}

const fewest = 3000

/** The data set; while fewer than 3,000 items are left, the range begins a year earlier, back to 1996. */
export const prepare = (
  name: string,
  log: EventLog,
  metadata: Iterable<Metadata>,
  { core, from, to }: PreparationOptions
): Dataset => {
  const items = itemsOf(metadata)
  const make = (start: number): Dataset =>
    Assemble.assemble(name, log, items, {
      filter: Schema.decodeSync(Assemble.FilterConfig)({
        core,
        judging: "simultaneous",
        duplicates: "keep",
        repeats: "keep",
        from: start,
        to
      }),
      seed: 0,
      core,
      firstOnly: false,
      before: [{ step: "events read", count: log.users.length }],
      knownItemsOnly: true,
      numbering: "minionerec"
    })
  let start = from
  let made = make(start)
  while (new Date(start * 1000).getUTCFullYear() > 1996 && made.items.length < fewest) {
    const date = new Date(start * 1000)
    date.setUTCFullYear(date.getUTCFullYear() - 1)
    start = date.getTime() / 1000
    made = make(start)
  }
  return made
}

/** Items before a target that a row holds. */
export const window = 10

/** A row of a `.inter` file: user, history, target, separated by tabs. */
export const interRow = ({ history, target, user }: Example): string =>
  `${user}\t${Array.from(history).join(" ")}\t${target}`

/** A row of the training tables. */
export interface Row {
  readonly user_id: string
  readonly history_item_title: ReadonlyArray<string>
  readonly item_title: string
  readonly history_item_id: ReadonlyArray<number>
  readonly item_id: number
  readonly history_item_sid: ReadonlyArray<string>
  readonly item_sid: string
}

/** Rows of examples; a target without a SID makes none, an item of the history without one is left out of the SIDs. */
export const rows = (
  dataset: Dataset,
  examples: ReadonlyArray<Example>,
  sids: ReadonlyMap<number, string>
): ReadonlyArray<Row> =>
  examples.flatMap(({ history, target, user }) => {
    const sid = sids.get(target)
    if (sid === undefined) return []
    return [{
      user_id: `A${user}`,
      history_item_title: Array.from(history, (item) => dataset.items[item]!.title),
      item_title: dataset.items[target]!.title,
      history_item_id: Array.from(history),
      item_id: target,
      history_item_sid: Array.from(history).flatMap((item) => sids.get(item) ?? []),
      item_sid: sid
    }]
  })

/** The row with the longest history of each user, the first of equals, in the order in which the users come. */
export const longestOnly = (rows: ReadonlyArray<Row>): ReadonlyArray<Row> => {
  const longest = new Map<string, Row>()
  for (const row of rows) {
    const before = longest.get(row.user_id)
    if (before === undefined || row.history_item_id.length > before.history_item_id.length) {
      longest.set(row.user_id, row)
    }
  }
  return [...longest.values()]
}

/** The three parts as rows' examples. */
export const parts = (dataset: Dataset) => Split.chronologicalParts(dataset, window)
