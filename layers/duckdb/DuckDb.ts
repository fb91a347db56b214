/**
 * Tables through DuckDB, in memory.
 */
import { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { closeSync, existsSync, openSync, readSync } from "node:fs"
import { constants, gunzipSync } from "node:zlib"
import { CatalogError, Unreadable } from "../../src/catalog/CatalogError.ts"
import { TableReader } from "../../src/catalog/TableReader.ts"

const quote = (text: string) => `'${text.replaceAll("'", "''")}'`
const identifier = (name: string) => `"${name.replaceAll("\"", "\"\"")}"`

/** The first bytes of a file, unpacked. */
const head = (path: string): string => {
  const file = openSync(path, "r")
  try {
    const bytes = Buffer.alloc(65_536)
    const start = bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0))
    return (path.endsWith(".gz") ? gunzipSync(start, { finishFlush: constants.Z_SYNC_FLUSH }) : start).toString("utf8")
  } finally {
    closeSync(file)
  }
}

/**
 * The separator that the header line holds most of. DuckDB's own guess would rather take a later line for the header
 * than report a row that does not fit it.
 */
const separatorOf = (path: string): string => {
  const line = head(path).split(/\r?\n/, 1)[0] ?? ""
  return [",", "\t", ";", "|"].map((separator) => ({ separator, count: line.split(separator).length }))
    .toSorted((a, b) => b.count - a.count)[0]!.separator
}

const source = (path: string): string => {
  const name = path.toLowerCase().replace(/\.gz$/, "")
  if (name.endsWith(".parquet")) return `read_parquet(${quote(path)})`
  if (name.endsWith(".jsonl") || name.endsWith(".ndjson")) {
    return `read_json(${quote(path)}, format = 'newline_delimited', ignore_errors = false)`
  }
  const form = path.includes("*") ? "" : `, delim = ${quote(separatorOf(path))}, quote = '"', escape = '"', skip = 0`
  return `read_csv(${quote(path)}, header = true, all_varchar = true, null_padding = false${form})`
}

/** The layer. */
export const layer: Layer.Layer<TableReader, CatalogError> = Layer.effect(
  TableReader,
  Effect.gen(function*() {
    const unreadable = (path: string) => (cause: unknown) =>
      new CatalogError({
        reason: new Unreadable({
          path,
          detail: (cause instanceof Error ? cause.message : String(cause)).split("\n").slice(0, 3).join(" ")
        })
      })
    const connection = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => (await DuckDBInstance.create(":memory:")).connect(),
        catch: unreadable("DuckDB")
      }),
      (connection) => Effect.sync(() => connection.closeSync())
    )
    const query = (path: string, sql: (source: string) => string) =>
      Effect.tryPromise({
        try: async () => {
          if (!path.includes("*") && !existsSync(path)) throw new Error("no such file")
          return await connection.runAndReadAll(sql(source(path)))
        },
        catch: unreadable(path)
      })
    return TableReader.of({
      columns: Effect.fn("TableReader.columns")(function*(path) {
        return (yield* query(path, (table) => `DESCRIBE SELECT * FROM ${table}`)).getRows().map((row) => String(row[0]))
      }),
      read: Effect.fn("TableReader.read")(function*(path, columns) {
        const wanted = columns === undefined
          ? "CAST(COLUMNS(*) AS VARCHAR)"
          : columns.map((name) => `CAST(${identifier(name)} AS VARCHAR) AS ${identifier(name)}`).join(", ")
        const reader = yield* query(path, (table) => `SELECT ${wanted} FROM ${table}`)
        return {
          file: path,
          columns: columns ?? reader.columnNames(),
          rows: reader.getRows() as ReadonlyArray<ReadonlyArray<string | null>>
        }
      })
    })
  })
)
