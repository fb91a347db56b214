/**
 * Reimplementation, row for row, of MiniOneRec's scripts that prepare data sets from Amazon reviews and metadata:
 * filters of items and events, numbering, sliding windows of the three parts, and the CSV rows.
 *
 * Differs from the scripts: the range of times is in UTC, not in local time.
 */
import * as Schema from "effect/Schema"
import * as Assemble from "../Assemble.ts"
import { type Dataset, type Example, type Item } from "../Dataset.ts"
import { type EventLog } from "../EventLog.ts"
import type * as PythonLiteral from "../reader/PythonLiteral.ts"
import * as Split from "../Split.ts"
import * as TextCleaning from "./TextCleaning.ts"

/** One line of metadata. */
export type Metadata = Readonly<Record<string, PythonLiteral.PythonValue>>

/** Arguments of the preparation script. */
export interface PreparationOptions {
  /** k of the k-core. */
  readonly core: number
  /** Start of the range of times, in seconds since 1970, inclusive. */
  readonly from: number
  /** End of the range of times, in seconds since 1970, inclusive. */
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

/** Returns the items with a usable title: the last such title, with the other fields of the item's last line. */
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

/** Builds the data set; while fewer than 3,000 items remain, the range starts a year earlier, back to 1996. */
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

/** Largest number of items before a target in a row. */
export const window = 10

/** Formats a row of a `.inter` file: user, history and target, separated by tabs. */
export const interRow = ({ history, target, user }: Example): string =>
  `${user}\t${Array.from(history).join(" ")}\t${target}`

/** Row of the training tables. */
export interface Row {
  readonly user_id: string
  readonly history_item_title: ReadonlyArray<string>
  readonly item_title: string
  readonly history_item_id: ReadonlyArray<number>
  readonly item_id: number
  readonly history_item_sid: ReadonlyArray<string>
  readonly item_sid: string
}

/**
 * Builds the rows of examples; targets without a SID are skipped, history items without one are left out of the SIDs.
 */
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

/** Returns each user's row with the longest history, in order of the users' first rows; ties go to the first row. */
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

/** Returns the examples of the three parts, with histories of at most `window` items. */
export const parts = (dataset: Dataset) => Split.chronologicalParts(dataset, window)
