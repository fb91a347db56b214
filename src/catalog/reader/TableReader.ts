/**
 * Tables from files: what the importers need of a database.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { type CatalogError } from "../CatalogError.ts"
import { type EventLog } from "../EventLog.ts"
import { type Findings } from "./Malformed.ts"

/** A table; every cell is text, or null where the file has none. Rows that do not fit the header are left out. */
export interface Table {
  readonly file: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string | null>>
  readonly findings: Findings
}

/** How a table without a header line is written; its cells are never quoted. */
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

/** Events, and the rows that are none. */
export interface EventScan extends Findings {
  readonly log: EventLog
}

/** How rows are read. */
export interface ReadOptions {
  readonly form?: TableForm | undefined
  /** A column without which a row is malformed; not for patterns. */
  readonly key?: string | undefined
}

/** Reads CSV, TSV, RecBole's atomic files and Parquet; all but Parquet plain or gzipped. */
export class TableReader extends Context.Service<TableReader, {
  /** Names of the columns as the header has them, repeats included, without reading the rows. */
  columns(path: string): Effect.Effect<ReadonlyArray<string>, CatalogError>
  /** The rows, in file order, of the named columns. `path` may be a pattern with `*`. */
  read(path: string, columns: ReadonlyArray<string>, options?: ReadOptions): Effect.Effect<Table, CatalogError>
  /**
   * The events in file order, of a file of any size. Times are as of `EventTime`. A row without user or item, or with a
   * time or rating that is no finite number or date, is malformed; an empty rating is not.
   */
  events(path: string, columns: EventColumns, form?: TableForm): Effect.Effect<EventScan, CatalogError>
}>()("sidereal/catalog/TableReader") {}

/** Files that are tables by their names. */
export const isTable = (name: string): boolean => /\.((csv|tsv|inter|item)(\.gz)?|parquet)$/i.test(name)
