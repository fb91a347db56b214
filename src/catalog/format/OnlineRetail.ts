/**
 * Online Retail (UCI 352 and 502): one CSV per day in `by-day.tar.xz`, or tables of invoices exported from the
 * workbooks.
 *
 * Purchases of known customers are kept: no cancellations, positive quantity and price. From the archive, only the
 * first purchase of each item by a customer is kept, and users and items with fewer than five events are dropped, as
 * published. A few codes are postage and fees rather than goods; published counts include them, so they are kept and
 * counted.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { assemble } from "../Assemble.ts"
import { CatalogError, Unreadable } from "../CatalogError.ts"
import { type Dataset, type Item } from "../Dataset.ts"
import * as EventLog from "../EventLog.ts"
import { Archive } from "../reader/Archive.ts"
import * as EventTime from "../reader/EventTime.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as MissingWords from "../reader/MissingWords.ts"
import { type Table, type TableForm, TableReader } from "../reader/TableReader.ts"
import * as ColumnRoles from "../table/ColumnRoles.ts"
import { type LoadOptions } from "../table/EventTable.ts"

/** Columns of the first and the second edition. */
const editions = [
  ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"],
  ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID"]
] as const

/** Returns the columns of the edition that a table matches; undefined for other tables. */
export const columnsOf = (found: ReadonlyArray<string>): ReadonlyArray<string> | undefined =>
  editions.find((edition) => edition.every((column) => found.includes(column)))

/**
 * Returns whether a stock code is of goods: five digits first; others are postage, fees, samples and manual entries.
 */
const isGood = (code: string) => /^\d{5}/.test(code)

/** Defaults of the filter for an edition. */
interface Kept {
  readonly core: number
  readonly firstOnly: boolean
}

/** Builds the data set from tables of invoices. */
const assembled = Effect.fnUntraced(function*(
  name: string,
  source: string,
  tables: ReadonlyArray<Table>,
  { core, firstOnly }: Kept,
  { filter, seed, strict }: LoadOptions
): Effect.fn.Return<Dataset, CatalogError> {
  const findings = Malformed.joined(tables.map((table) => table.findings))
  yield* Malformed.settle(source, findings, strict)
  const rows = tables.flatMap((table) => table.rows)
  const dates = rows.map((row) => row[4] ?? "")
  const told = EventTime.column(dates)
  // An extract may have no date that shows the order of day and month.
  const times = told._tag === "Ambiguous"
    ? EventTime.column(dates, { order: ColumnRoles.dateOrderOf(editions[0]) })
    : told
  if (times._tag !== "Times") return yield* EventTime.failure(times, source, "InvoiceDate")
  const log = EventLog.builder()
  const names = new Map<string, Map<string, number>>()
  let [purchases, undated] = [0, 0]
  for (const [r, [invoice, code, description, quantity, , price, customer]] of rows.entries()) {
    if (!customer || MissingWords.isMissing(customer)) continue
    if (!invoice || /^c/i.test(invoice) || !(Number(quantity) > 0) || !(Number(price) > 0)) continue
    purchases++
    if (!code) continue
    const time = times.times[r]!
    if (Number.isNaN(time)) {
      undated++
      continue
    }
    log.add(/^\d+\.0$/.test(customer) ? customer.slice(0, -2) : customer, code, time)
    const title = description?.trim() ?? ""
    if (MissingWords.isMissing(title)) continue
    let counts = names.get(code)
    if (counts === undefined) names.set(code, counts = new Map())
    counts.set(title, (counts.get(title) ?? 0) + 1)
  }
  const items = new Map<string, Item>([...names].map(([key, counts]) => [key, {
    key,
    title: [...counts].toSorted((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0]![0],
    description: "",
    brand: "",
    categories: []
  }]))
  const dataset = assemble(name, log.build(), items, {
    filter,
    seed,
    core,
    firstOnly,
    malformed: findings.malformed,
    before: [
      { step: "rows read", count: rows.length },
      ...findings.problems,
      { step: "purchases of known customers", count: purchases },
      ...(undated === 0
        ? []
        : [{ step: `rows left out: ${Malformed.problems.time("InvoiceDate")}`, count: undated }])
    ]
  })
  const fees = dataset.items.filter((item) => !isGood(item.key)).length
  return { ...dataset, counts: [...dataset.counts, { step: "items that are postage or fees", count: fees }] }
})

/** Reads the archive, with the published filter by default. */
export const load = Effect.fn("OnlineRetail.load")(
  function*(name: string, archive: string, options: LoadOptions) {
    const folder = yield* (yield* Archive).unpackTarXz(archive)
    const path = yield* Path.Path
    const reader = yield* TableReader
    const fs = yield* FileSystem.FileSystem
    const files = yield* fs.readDirectory(folder, { recursive: true }).pipe(
      Effect.mapError((error) => new CatalogError({ reason: new Unreadable({ path: archive, detail: error.message }) }))
    )
    const days = yield* Effect.forEach(
      files.filter((file) => file.endsWith(".csv")).toSorted(),
      (file) => reader.read(path.join(folder, file), editions[0])
    )
    return yield* assembled(name, archive, days, { core: 5, firstOnly: true }, options)
  },
  Effect.scoped
)

/** Reads tables of invoices: all purchases of known customers; an item's title is its most frequent description. */
export const loadTables = Effect.fn("OnlineRetail.loadTables")(function*(
  name: string,
  files: ReadonlyArray<string>,
  columns: ReadonlyArray<string>,
  form: TableForm | undefined,
  options: LoadOptions
) {
  const reader = yield* TableReader
  const tables = yield* Effect.forEach(files, (file) => reader.read(file, columns, { form }))
  const dataset = yield* assembled(name, files[0]!, tables, { core: 0, firstOnly: false }, options)
  return {
    ...dataset,
    notes: [
      "read as Online Retail: purchases of known customers without cancellations; titles are the most frequent descriptions"
    ]
  }
})
