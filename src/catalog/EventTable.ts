/**
 * Plain tables: one of events, and perhaps one of items.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { assemble, type FilterConfig } from "./Assemble.ts"
import { BadRow, CatalogError, MissingColumn, MostlyMalformed, NoEvents } from "./CatalogError.ts"
import { type Item } from "./Dataset.ts"
import * as PythonLiteral from "./PythonLiteral.ts"
import { type EventScan, type TableForm, TableReader } from "./TableReader.ts"

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
  rating: ["rating", "overall", "stars", "score"],
  title: ["title", "item_title", "name", "product_name", "Description", "movie_title"],
  description: ["description", "text", "summary", "features"],
  brand: ["brand", "store", "manufacturer"],
  categories: ["categories", "category", "genres", "genre", "main_category"]
} as const

/** What a column is for. */
export type Role = keyof typeof usualNames

/** The column of a role among those that a table has. */
export const columnOf = (role: Role, found: ReadonlyArray<string>, config: TableConfig): string | undefined => {
  const given = config.columns?.[role]
  if (given !== undefined) return found.includes(given) ? given : undefined
  const usual: ReadonlyArray<string> = usualNames[role]
  // RecBole writes the type behind the name: `user_id:token`.
  return usual.map((name) => found.find((column) => column.replace(/:.*$/, "").toLowerCase() === name.toLowerCase()))
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

/** Words of a list: JSON of any depth, or text with separators. */
const splitCategories = (text: string): ReadonlyArray<string> => {
  const list = text.startsWith("[") ? PythonLiteral.tryParseList(text) : undefined
  return list === undefined
    ? text.replaceAll(/^[[\]'"\s]+|[[\]'"\s]+$/g, "").split(/['"]?\s*[,|;>]\s*['"]?/).map((part) => part.trim())
      .filter((part) => part !== "")
    : [...new Set(list.flat(4).map((part) => String(part).trim()).filter((part) => part !== ""))]
}

/** A text; the parts of a list are joined. */
const joined = (text: string): string => {
  const list = text.startsWith("[") ? PythonLiteral.tryParseList(text) : undefined
  return list === undefined ? text : list.flat(4).filter((part) => part !== null).join(" ").trim()
}

/** What is known of the items of a table, by key; the last row of an item wins. */
export const readItems = Effect.fn("EventTable.readItems")(function*(
  file: string,
  config: TableConfig,
  form?: TableForm
) {
  const reader = yield* TableReader
  const found = form?.columns ?? (yield* reader.columns(file))
  const key = yield* required("item", file, found, config)
  const optional = (["title", "description", "brand", "categories"] as const).map((role) =>
    columnOf(role, found, config)
  )
  const present = optional.filter((column) => column !== undefined)
  const { rows } = yield* reader.read(file, [key, ...present], form)
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
      description: joined(cell(1)),
      brand: cell(2),
      categories: splitCategories(cell(3))
    })
  }
  return items
})

/** How tables are read and what of them is kept. */
export interface LoadOptions {
  readonly filter: FilterConfig
  readonly seed: number
  /** The first row that cannot be used is an error. */
  readonly strict: boolean
}

/** Fails when rows are left out and none may be, or most are. */
export const checkScan = (file: string, scan: EventScan, strict: boolean): Effect.Effect<void, CatalogError> => {
  const count = scan.problems.reduce((sum, problem) => sum + problem.count, 0)
  const first = scan.malformed[0]
  if (first !== undefined && strict) {
    return Effect.fail(
      new CatalogError({
        reason: new BadRow({
          file,
          line: first.line,
          field: first.problem,
          value: first.value,
          mend: "without --strict such rows are counted and left out"
        })
      })
    )
  }
  if (scan.rows === 0) {
    return Effect.fail(new CatalogError({ reason: new NoEvents({ detail: `${file} has a header and no rows` }) }))
  }
  if (first !== undefined && count * 2 > scan.rows) {
    return Effect.fail(
      new CatalogError({
        reason: new MostlyMalformed({
          file,
          malformed: count,
          rows: scan.rows,
          first: `${first.problem} (${first.value}) in line ${first.line}`
        })
      })
    )
  }
  return Effect.void
}

/** Reads the tables. Without a time column the order of the file counts as time. */
export const load = Effect.fn("EventTable.load")(function*(
  name: string,
  eventsFile: string,
  itemsFile: string | undefined,
  config: TableConfig,
  options: LoadOptions,
  forms: { readonly events?: TableForm | undefined; readonly items?: TableForm | undefined } = {}
) {
  const reader = yield* TableReader
  const found = forms.events?.columns ?? (yield* reader.columns(eventsFile))
  const user = yield* required("user", eventsFile, found, config)
  const item = yield* required("item", eventsFile, found, config)
  const optional = (role: "time" | "rating") =>
    config.columns?.[role] === undefined
      ? Effect.succeed(columnOf(role, found, config))
      : required(role, eventsFile, found, config)
  const scan = yield* reader.events(
    eventsFile,
    { user, item, time: yield* optional("time"), rating: yield* optional("rating") },
    forms.events
  )
  yield* checkScan(eventsFile, scan, options.strict)
  const items = itemsFile === undefined ? new Map<string, Item>() : yield* readItems(itemsFile, config, forms.items)
  return assemble(name, scan.log, items, {
    filter: options.filter,
    seed: options.seed,
    core: config.core ?? 0,
    firstOnly: false,
    malformed: scan.malformed,
    before: [{ step: "events read", count: scan.log.users.length }, ...scan.problems]
  })
})
