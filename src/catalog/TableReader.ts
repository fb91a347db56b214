/**
 * Tables from files: what the importers need of a database.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { type CatalogError } from "./CatalogError.ts"
import { type Count, type Malformed } from "./Dataset.ts"
import { type EventLog } from "./EventLog.ts"

/** A table; every cell is text, or null where the file has none. Lists and objects of JSON are JSON. */
export interface Table {
  readonly file: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string | null>>
}

/** How a file without a header is to be read. */
export interface TableForm {
  readonly columns: ReadonlyArray<string>
  readonly separator: string
  /** @default utf-8 */
  readonly encoding?: "latin-1" | undefined
}

/** Where the parts of an event stand. */
export interface EventColumns {
  readonly user: string
  readonly item: string
  /** Numbers, or dates; without it the order of the file counts. */
  readonly time?: string | undefined
  readonly rating?: string | undefined
}

/** Events, and the rows that are none: how many of each kind, and the first few. */
export interface EventScan {
  readonly log: EventLog
  readonly rows: number
  readonly problems: ReadonlyArray<Count>
  readonly malformed: ReadonlyArray<Malformed>
}

/** Reads CSV, TSV, JSON lines and Parquet, plain or gzipped. */
export class TableReader extends Context.Service<TableReader, {
  /** Names of the columns, without reading the rows. */
  columns(path: string): Effect.Effect<ReadonlyArray<string>, CatalogError>
  /** The rows, in file order, of the named columns or of all. `path` may be a pattern with `*`. */
  read(path: string, columns?: ReadonlyArray<string>, form?: TableForm): Effect.Effect<Table, CatalogError>
  /** The events of a file of any size, one pass, bounded memory; rows that are none are counted and left out. */
  events(path: string, columns: EventColumns, form?: TableForm): Effect.Effect<EventScan, CatalogError>
}>()("sidereal/catalog/TableReader") {}

/** Files that are tables by their names. */
export const isTable = (name: string): boolean => /\.(csv|tsv|jsonl|ndjson|json|parquet|inter|item)(\.gz)?$/i.test(name)
