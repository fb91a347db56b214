/**
 * Plain tables: one of events, and perhaps one of items.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { assemble, type FilterConfig } from "../Assemble.ts"
import { AmbiguousColumn, CatalogError, MissingColumn, NoEvents } from "../CatalogError.ts"
import { type Item } from "../Dataset.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as PythonLiteral from "../reader/PythonLiteral.ts"
import { type TableForm, TableReader } from "../reader/TableReader.ts"
import * as JsonLines from "./JsonLines.ts"

/** `sidereal.json`: the files and columns of a data set, where they do not have the usual names. */
export class TableConfig extends Schema.Class<TableConfig>("sidereal/catalog/TableConfig")({
  events: Schema.optionalKey(Schema.String),
  items: Schema.optionalKey(Schema.String),
  columns: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Names of the columns of an events file that has no header line; its cells are never quoted. */
  header: Schema.optionalKey(Schema.NonEmptyArray(Schema.String)),
  /** Between the cells of such a file. @default a comma */
  separator: Schema.optionalKey(Schema.NonEmptyString),
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
  time: [
    "timestamp",
    "time",
    "unixReviewTime",
    "sort_timestamp",
    "date",
    "datetime",
    "created_at",
    "event_time",
    "InvoiceDate"
  ],
  rating: ["rating", "overall", "stars", "score"],
  title: ["title", "item_title", "movie_title", "name", "item_name", "product_name", "Description"],
  description: ["description", "text", "summary", "features"],
  brand: ["brand", "store", "manufacturer"],
  categories: ["categories", "category", "genres", "genre", "class", "main_category", "main_cat"]
} as const

/** What a column is for. */
export type Role = keyof typeof usualNames

/** The name of a column without RecBole's type: `user_id:token` is `user_id`. */
const untyped = (column: string): string => column.replace(/:(token|token_seq|float|float_seq)$/, "")

/** The columns of a role among those that a table has, the most usual name first. */
const columnsOf = (role: Role, found: ReadonlyArray<string>, config: TableConfig): ReadonlyArray<string> => {
  const given = config.columns?.[role]
  if (given !== undefined) return found.includes(given) ? [given] : []
  return usualNames[role].flatMap((name) =>
    found.find((column) => untyped(column).toLowerCase() === name.toLowerCase()) ?? []
  )
}

/** The column of a role among those that a table has. */
export const columnOf = (role: Role, found: ReadonlyArray<string>, config: TableConfig): string | undefined =>
  columnsOf(role, found, config)[0]

/** The same, where it is clear; undefined is an answer only where nobody named a column. */
const optional = Effect.fnUntraced(
  function*(role: Role, file: string, found: ReadonlyArray<string>, config: TableConfig) {
    const column = columnOf(role, found, config)
    if (column === undefined && config.columns?.[role] !== undefined) return yield* missing(role, file, found, config)
    const times = found.filter((other) => other === column).length
    if (column === undefined || times === 1) return column
    return yield* new CatalogError({ reason: new AmbiguousColumn({ file, column, times }) })
  }
)

const required = Effect.fnUntraced(
  function*(role: Role, file: string, found: ReadonlyArray<string>, config: TableConfig) {
    return (yield* optional(role, file, found, config)) ?? (yield* missing(role, file, found, config))
  }
)

const missing = (role: Role, file: string, found: ReadonlyArray<string>, config: TableConfig) =>
  Effect.fail(
    new CatalogError({
      reason: new MissingColumn({
        file,
        wanted: role,
        names: config.columns?.[role] === undefined ? [...usualNames[role]] : [config.columns[role]],
        found: found.length === 0 ? ["nothing"] : [...found]
      })
    })
  )

/** Names of a file's columns. */
export const columns = Effect.fn("EventTable.columns")(function*(file: string) {
  return yield* JsonLines.isJsonLines(file) ? JsonLines.columns(file) : (yield* TableReader).columns(file)
})

/** Words of a list as a cell holds it: JSON or Python of any depth, or text with separators. */
const splitCategories = (text: string): ReadonlyArray<string> =>
  wordsOf(text.startsWith("[") ? PythonLiteral.tryParseList(text) : undefined) ??
    text.replaceAll(/^[[\]'"\s]+|[[\]'"\s]+$/g, "").split(/['"]?\s*[,|;>]\s*['"]?/).map((part) => part.trim())
      .filter((part) => part !== "")

/** Texts of a list of any depth; undefined where there is no list. */
const wordsOf = (value: unknown): ReadonlyArray<string> | undefined =>
  Array.isArray(value)
    ? (value as ReadonlyArray<unknown>).flat(4).filter((part) => typeof part === "string" || typeof part === "number")
      .map((part) => String(part).trim()).filter((part) => part !== "")
    : undefined

/** A text; the parts of a list are joined. */
const textOf = (value: unknown): string => {
  const list = typeof value === "string" && value.startsWith("[") ? PythonLiteral.tryParseList(value) : value
  return wordsOf(list)?.join(" ") ?? (typeof value === "string" || typeof value === "number" ? String(value) : "")
}

const categoriesOf = (value: unknown, column: string): ReadonlyArray<string> =>
  // RecBole's lists are words with spaces between them, where nothing else parts them.
  typeof value === "string" && column.endsWith(":token_seq") && !/[,|;>[]/.test(value)
    ? value.split(/\s+/).filter((part) => part !== "")
    : wordsOf(value) ?? splitCategories(textOf(value))

/** Items by their keys, and the rows that are none. */
export interface ItemScan {
  readonly items: ReadonlyMap<string, Item>
  readonly findings: Malformed.Findings
}

/** What is known of the wanted items, by key; the last row of an item wins. Of other items nothing is kept. */
export const readItems = Effect.fn("EventTable.readItems")(function*(
  file: string,
  config: TableConfig,
  wanted: { has(key: string): boolean },
  form?: TableForm
) {
  const found = form?.columns ?? (yield* columns(file))
  const key = yield* required("item", file, found, config)
  const roles = (["title", "description", "brand", "categories"] as const).map((role) =>
    columnsOf(role, found, config).filter((name) => name !== key)
  )
  const items = new Map<string, Item>()
  const add = (id: string, cell: (column: string) => unknown) => {
    if (!wanted.has(id)) return
    const first = (role: number) => roles[role]!.map((name) => textOf(cell(name))).find((text) => text !== "") ?? ""
    items.set(id, {
      key: id,
      title: first(0) || id,
      description: first(1),
      brand: first(2),
      categories: [
        ...new Set(roles[3]!.map((name) => categoriesOf(cell(name), name)).find((list) => list.length > 0) ?? [])
      ]
    })
  }
  if (JsonLines.isJsonLines(file)) {
    const tally = new Malformed.Tally(file, "item rows")
    yield* JsonLines.forEach(file, tally, (row, line) => {
      const id = textOf(row[key])
      if (id === "") tally.add(line, Malformed.problems.missing(key), row[key])
      else add(id, (name) => row[name])
    })
    return { items, findings: tally.findings } satisfies ItemScan as ItemScan
  }
  const names = [...new Set([key, ...roles.flat()])]
  const { findings, rows } = yield* (yield* TableReader).read(file, names, { form, key })
  const at = new Map(names.map((name, i) => [name, i]))
  for (const row of rows) add(row[0]!, (name) => row[at.get(name)!])
  return {
    items,
    findings: { ...findings, problems: findings.problems.map(({ count, step }) => ({ step: `item ${step}`, count })) }
  } satisfies ItemScan as ItemScan
})

/** How tables are read and what of them is kept. */
export interface LoadOptions {
  readonly filter: FilterConfig
  readonly seed: number
  /** The first row that cannot be used is an error. */
  readonly strict: boolean
}

/** Reads the tables. Without a time column the order of the file counts as time. */
export const load = Effect.fn("EventTable.load")(function*(
  name: string,
  eventsFile: string,
  itemsFile: string | undefined,
  config: TableConfig,
  options: LoadOptions,
  forms: {
    readonly events?: TableForm | undefined
    /** Reads the items in a way of its own. */
    readonly items?: typeof readItems | undefined
  } = {}
) {
  const found = forms.events?.columns ?? (yield* columns(eventsFile))
  const named = {
    user: yield* required("user", eventsFile, found, config),
    item: yield* required("item", eventsFile, found, config),
    time: yield* optional("time", eventsFile, found, config),
    rating: yield* optional("rating", eventsFile, found, config)
  }
  const { log, ...findings } = yield* JsonLines.isJsonLines(eventsFile)
    ? JsonLines.events(eventsFile, named)
    : (yield* TableReader).events(eventsFile, named, forms.events)
  yield* Malformed.settle(eventsFile, findings, options.strict)
  if (findings.rows === 0) {
    return yield* new CatalogError({ reason: new NoEvents({ detail: `${eventsFile} has a header and no rows` }) })
  }
  const items: ItemScan = itemsFile === undefined
    ? { items: new Map(), findings: { rows: 0, problems: [], malformed: [] } }
    : yield* (forms.items ?? readItems)(itemsFile, config, new Set(log.itemKeys))
  if (itemsFile !== undefined) yield* Malformed.settle(itemsFile, items.findings, options.strict)
  return assemble(name, log, items.items, {
    filter: options.filter,
    seed: options.seed,
    core: config.core ?? 0,
    firstOnly: false,
    malformed: [...findings.malformed, ...items.findings.malformed].slice(0, Malformed.kept),
    before: [
      { step: "events read", count: log.users.length },
      ...findings.problems,
      ...items.findings.problems
    ]
  })
})
