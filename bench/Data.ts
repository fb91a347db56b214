/**
 * Benchmark of importing a file of ten million events: parsing, numbering and k-core.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { once } from "node:events"
import { createWriteStream, mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as DuckDb from "../layers/duckdb/DuckDb.ts"
import * as TarXz from "../layers/xz/TarXz.ts"
import { FilterConfig } from "../src/catalog/Assemble.ts"
import * as Import from "../src/catalog/Import.ts"
import * as Random from "../src/statistics/Random.ts"
import { type Benchmark } from "./Benchmark.ts"

const rows = 10_000_000
const users = 100_000
const items = 50_000

const write = async (file: string) => {
  const stream = createWriteStream(file)
  stream.write("user_id,item_id,timestamp,rating\n")
  const next = Random.uniform(1010)
  for (let from = 0; from < rows; from += 100_000) {
    const lines: Array<string> = []
    for (let i = 0; i < 100_000; i++) {
      const user = Math.floor(next() * users)
      // Squared, so that few items are frequent and many are rare.
      const item = Math.floor(next() ** 2 * items)
      lines.push(
        `user-${user},B${String(item).padStart(9, "0")},${1_500_000_000 + Math.floor(next() * 1e8)},${
          1 + Math.floor(next() * 5)
        }\n`
      )
    }
    if (!stream.write(lines.join(""))) await once(stream, "drain")
  }
  stream.end()
  await once(stream, "finish")
}

/** The benchmarks. */
export const benchmarks: ReadonlyArray<Benchmark> = [{
  name: "data.csv.10m",
  repeats: 1,
  warmup: 0,
  prepare: async () => {
    const folder = mkdtempSync(join(tmpdir(), "sidereal-bench-"))
    const file = join(folder, "events.csv")
    await write(file)
    const work: Record<string, unknown> = {
      rows,
      users,
      items,
      fileMiB: Math.round(statSync(file).size / 2 ** 20),
      filter: "rating >= 2, 5-core"
    }
    const services = Layer.merge(DuckDb.layer, TarXz.layer).pipe(Layer.provideMerge(NodeServices.layer))
    const filter = Schema.decodeSync(FilterConfig)({ core: 5, ratingFloor: 2 })
    return {
      work,
      amount: rows,
      unit: "rows/s",
      run: async () => {
        const dataset = await Effect.runPromise(Import.load(file, { filter }).pipe(Effect.provide(services)))
        work["kept"] = dataset.sequences.reduce((sum, list) => sum + list.length, 0)
      },
      close: () => Promise.resolve(rmSync(folder, { recursive: true }))
    }
  }
}]
