/**
 * Online Retail (UCI 352 and 502): one CSV per day in `by-day.tar.xz`, or tables of invoices as the workbooks are
 * exported.
 *
 * Kept are purchases of known customers: no cancellations, positive quantity and price. Of the archive the first purchase
 * of each item by a customer counts, and users and items below five events are dropped, as published. A handful of codes
 * are postage and fees rather than goods; published counts include them, so they stay, and how many they are is counted.
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

/** The columns of the first and of the second edition. */
const editions = [
  ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"],
  ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID"]
] as const

/** The columns of invoices that a table has, in the order of an edition; undefined for other tables. */
export const columnsOf = (found: ReadonlyArray<string>): ReadonlyArray<string> | undefined =>
  editions.find((edition) => edition.every((column) => found.includes(column)))

/** Stock codes of goods begin with five digits; the others are postage, fees, samples and manual entries. */
const isGood = (code: string) => /^\d{5}/.test(code)

/** What is kept of the purchases where the filter says nothing. */
interface Kept {
  readonly core: number
  readonly firstOnly: boolean
}

/** The data set of tables of invoices. */
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
  // An extract may have no day that shows the order.
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

/** Reads the archive. */
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

/** Reads tables of invoices: all purchases of known customers, with the most frequent description as title. */
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
