/**
 * Online Retail (UCI 352): one CSV per day in `by-day.tar.xz`.
 *
 * Kept are purchases of known customers: no cancellations, positive quantity and price. The first purchase of each item
 * by a customer counts, and users and items below five events are dropped. A handful of codes are postage and fees
 * rather than goods; published counts include them, so they stay, and how many they are is counted.
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import { assemble } from "../Assemble.ts"
import { type Item } from "../Dataset.ts"
import * as EventLog from "../EventLog.ts"
import { Archive } from "../reader/Archive.ts"
import * as EventTime from "../reader/EventTime.ts"
import * as Malformed from "../reader/Malformed.ts"
import { TableReader } from "../reader/TableReader.ts"
import { type LoadOptions } from "./EventTable.ts"

const columns = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"]

/** Stock codes of goods begin with five digits; the others are postage, fees, samples and manual entries. */
const isGood = (code: string) => /^\d{5}/.test(code)

/** Reads the archive. */
export const load = Effect.fn("OnlineRetail.load")(
  function*(name: string, archive: string, { filter, seed, strict }: LoadOptions) {
    const folder = yield* (yield* Archive).unpackTarXz(archive)
    const path = yield* Path.Path
    const { findings, rows } = yield* (yield* TableReader).read(path.join(folder, "**", "*.csv"), columns)
    yield* Malformed.settle(archive, findings, strict)
    const log = EventLog.builder()
    const names = new Map<string, Map<string, number>>()
    let [purchases, undated] = [0, 0]
    for (const [invoice, code, description, quantity, date, price, customer] of rows) {
      if (!customer || !invoice || invoice.startsWith("C") || !(Number(quantity) > 0) || !(Number(price) > 0)) continue
      purchases++
      if (!code) continue
      const time = EventTime.parse(date ?? "")
      if (Number.isNaN(time)) {
        undated++
        continue
      }
      log.add(String(Math.trunc(Number(customer))), code, time)
      const title = description?.trim() ?? ""
      if (title === "") continue
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
      core: 5,
      firstOnly: true,
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
  },
  Effect.scoped
)
