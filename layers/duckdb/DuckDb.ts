/**
 * Tables through DuckDB, in memory.
 */
import { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { existsSync } from "node:fs"
import { CatalogError, Unreadable } from "../../src/catalog/CatalogError.ts"
import { TableReader } from "../../src/catalog/TableReader.ts"

const quote = (text: string) => `'${text.replaceAll("'", "''")}'`
const identifier = (name: string) => `"${name.replaceAll("\"", "\"\"")}"`

const source = (path: string): string => {
  const name = path.toLowerCase().replace(/\.gz$/, "")
  if (name.endsWith(".parquet")) return `read_parquet(${quote(path)})`
  if (name.endsWith(".jsonl") || name.endsWith(".ndjson")) {
    return `read_json(${quote(path)}, format = 'newline_delimited', ignore_errors = false)`
  }
  const separator = name.endsWith(".tsv") ? ", delim = '\\t'" : ""
  return `read_csv(${quote(path)}, header = true, all_varchar = true, null_padding = false${separator})`
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
    const query = (path: string, sql: string) =>
      Effect.tryPromise({
        try: async () => {
          if (!path.includes("*") && !existsSync(path)) throw new Error("no such file")
          return connection.runAndReadAll(sql)
        },
        catch: unreadable(path)
      })
    return TableReader.of({
      columns: Effect.fn("TableReader.columns")(function*(path) {
        return (yield* query(path, `DESCRIBE SELECT * FROM ${source(path)}`)).getRows().map((row) => String(row[0]))
      }),
      read: Effect.fn("TableReader.read")(function*(path, columns) {
        const wanted = columns === undefined
          ? "CAST(COLUMNS(*) AS VARCHAR)"
          : columns.map((name) => `CAST(${identifier(name)} AS VARCHAR) AS ${identifier(name)}`).join(", ")
        const reader = yield* query(path, `SELECT ${wanted} FROM ${source(path)}`)
        return {
          file: path,
          columns: columns ?? reader.columnNames(),
          rows: reader.getRows() as ReadonlyArray<ReadonlyArray<string | null>>
        }
      })
    })
  })
)
