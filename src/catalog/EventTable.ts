/**
 * Plain tables: one of events, and perhaps one of items.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { assemble, type RawEvent } from "./Assemble.ts"
import { BadRow, CatalogError, MissingColumn, NoEvents } from "./CatalogError.ts"
import { type Item } from "./Dataset.ts"
import { TableReader } from "./TableReader.ts"

/** `sidereal.json`: the files and columns of a data set, where they do not have the usual names. */
export class TableConfig extends Schema.Class<TableConfig>("sidereal/catalog/TableConfig")({
  events: Schema.optionalKey(Schema.String),
  items: Schema.optionalKey(Schema.String),
  columns: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  core: Schema.optionalKey(Schema.Int)
}) {}

/** The usual names of columns. */
export const usualNames = {
  user: [
    "user_id",
    "user",
    "userId",
    "customer_id",
    "CustomerID",
    "reviewerID",
    "visitor_id",
    "visitorid",
    "session_id"
  ],
  item: ["item_id", "item", "itemId", "parent_asin", "asin", "product_id", "movieId", "StockCode", "sku"],
  time: ["timestamp", "time", "unixReviewTime", "date", "datetime", "created_at", "event_time", "InvoiceDate"],
  title: ["title", "item_title", "name", "product_name", "Description"],
  description: ["description", "text", "summary", "features"],
  brand: ["brand", "store", "manufacturer"],
  categories: ["categories", "category", "genres", "main_category"]
} as const

/** What a column is for. */
export type Role = keyof typeof usualNames

/** The column of a role among those that a table has. */
export const columnOf = (role: Role, found: ReadonlyArray<string>, config: TableConfig): string | undefined => {
  const given = config.columns?.[role]
  if (given !== undefined) return found.includes(given) ? given : undefined
  const usual: ReadonlyArray<string> = usualNames[role]
  return usual.map((name) => found.find((column) => column.toLowerCase() === name.toLowerCase()))
    .find((column) => column !== undefined)
}

const required = (role: Role, file: string, found: ReadonlyArray<string>, config: TableConfig) => {
  const column = columnOf(role, found, config)
  return column === undefined
    ? Effect.fail(
      new CatalogError({
        reason: new MissingColumn({
          file,
          wanted: role,
          names: config.columns?.[role] === undefined ? [...usualNames[role]] : [config.columns[role]],
          found: [...found]
        })
      })
    )
    : Effect.succeed(column)
}

const parseTime = (text: string): number => {
  const number = Number(text)
  return text.trim() !== "" && Number.isFinite(number) ? number : Date.parse(text)
}

const splitCategories = (text: string): ReadonlyArray<string> =>
  text.replaceAll(/^[[\]'"\s]+|[[\]'"\s]+$/g, "").split(/['"]?\s*[,|;>]\s*['"]?/).map((part) => part.trim())
    .filter((part) => part !== "")

const readItems = Effect.fnUntraced(function*(file: string, config: TableConfig) {
  const reader = yield* TableReader
  const found = yield* reader.columns(file)
  const key = yield* required("item", file, found, config)
  const optional = (["title", "description", "brand", "categories"] as const).map((role) =>
    columnOf(role, found, config)
  )
  const present = optional.filter((column) => column !== undefined)
  const { rows } = yield* reader.read(file, [key, ...present])
  const items = new Map<string, Item>()
  for (const row of rows) {
    const id = row[0]
    if (id === null || id === undefined || id === "") continue
    const cell = (role: number) => {
      const column = optional[role]
      return column === undefined ? "" : row[1 + present.indexOf(column)] ?? ""
    }
    items.set(id, {
      key: id,
      title: cell(0) || id,
      description: cell(1),
      brand: cell(2),
      categories: splitCategories(cell(3))
    })
  }
  return items
})

/** Reads the tables. Without a time column the order of the file counts as time. */
export const load = Effect.fn("EventTable.load")(function*(
  name: string,
  eventsFile: string,
  itemsFile: string | undefined,
  config: TableConfig,
  core: number
) {
  const reader = yield* TableReader
  const found = yield* reader.columns(eventsFile)
  const user = yield* required("user", eventsFile, found, config)
  const item = yield* required("item", eventsFile, found, config)
  const time = config.columns?.["time"] === undefined
    ? columnOf("time", found, config)
    : yield* required("time", eventsFile, found, config)
  const { rows } = yield* reader.read(eventsFile, [user, item, ...(time === undefined ? [] : [time])])
  const events: Array<RawEvent> = []
  for (const [i, row] of rows.entries()) {
    const bad = (field: string, value: string | null | undefined, mend: string) =>
      new CatalogError({
        reason: new BadRow({
          file: eventsFile,
          line: i + 2,
          field,
          value: value === null || value === undefined || value === "" ? "empty" : `"${value}"`,
          mend
        })
      })
    if (!row[0]) return yield* bad(user, row[0], "every event needs a user")
    if (!row[1]) return yield* bad(item, row[1], "every event needs an item")
    const at = time === undefined ? i : parseTime(row[2] ?? "")
    if (!Number.isFinite(at)) {
      return yield* bad(time!, row[2], "a time is a number, or a date such as 2026-01-31T12:00:00Z")
    }
    events.push({ user: row[0], item: row[1], time: at })
  }
  if (events.length === 0) {
    return yield* new CatalogError({ reason: new NoEvents({ detail: `${eventsFile} has a header and no rows` }) })
  }
  const items = itemsFile === undefined ? new Map<string, Item>() : yield* readItems(itemsFile, config)
  return assemble(name, events, items, { core, firstOnly: false }, [{ step: "events read", count: events.length }])
})
