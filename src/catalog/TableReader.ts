/**
 * Tables from files, as columns of text: what the importers need of a database.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { type CatalogError } from "./CatalogError.ts"

/** A table; every cell is text, or null where the file has none. */
export interface Table {
  readonly file: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string | null>>
}

/** Reads CSV, TSV, JSON lines and Parquet, plain or gzipped. */
export class TableReader extends Context.Service<TableReader, {
  /** Names of the columns, without reading the rows. */
  columns(path: string): Effect.Effect<ReadonlyArray<string>, CatalogError>
  /** The rows, in file order, of the named columns or of all. `path` may be a pattern with `*`. */
  read(path: string, columns?: ReadonlyArray<string>): Effect.Effect<Table, CatalogError>
}>()("sidereal/catalog/TableReader") {}

/** Files that are tables by their names. */
export const isTable = (name: string): boolean => /\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$/i.test(name)
