/**
 * Service that reads tables from files, for the importers.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { type CatalogError } from "../CatalogError.ts"
import { type EventLog } from "../EventLog.ts"
import { type Findings } from "./Malformed.ts"

/** A table; every cell is text, or null where the file has no value. Rows that do not fit the header are left out. */
export interface Table {
  readonly file: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string | null>>
  readonly findings: Findings
}

/** Layout of a text table, overriding detection; ignored for Parquet files. */
export interface TableForm {
  /** Column names of a file without a header line. @default those of the first line */
  readonly columns?: ReadonlyArray<string> | undefined
  /** Text between two cells. @default detected from the first lines */
  readonly separator?: string | undefined
  /** Quotation mark around cells with separators; null when cells are never quoted. @default detected */
  readonly quote?: string | null | undefined
  /** Name of the encoding in the WHATWG standard. @default detected from the bytes */
  readonly encoding?: string | undefined
}

/** First rows of a table. */
export interface Sample {
  readonly columns: ReadonlyArray<string>
  /** At most 50 rows; null for missing values in a Parquet file. */
  readonly rows: ReadonlyArray<ReadonlyArray<string | null>>
  /** Whether the first line names the columns; undefined where the rows do not show it. */
  readonly header: boolean | undefined
  /** Description of the file's kind. */
  readonly what: string
  /** Remarks: a name that contradicts the content, an encoding other than UTF-8. */
  readonly notes: ReadonlyArray<string>
}

/** Order of day and month in dates that do not show it. */
export type DateOrder = "day-first" | "month-first"

/** Names of the two columns of a date and its clock time. */
export interface DateAndClock {
  readonly date: string
  readonly clock: string
}

/** Names of the columns of an event. */
export interface EventColumns {
  readonly user: string
  readonly item: string
  /** Column of numbers or dates. @default no times: the order of the file */
  readonly time?: string | DateAndClock | undefined
  /** Column of ratings, set only where ratings are needed, so that invalid ratings lose no rows otherwise. */
  readonly rating?: string | undefined
}

/** Events of a file, with the malformed rows. */
export interface EventScan extends Findings {
  readonly log: EventLog
  /** Order of day and month, where the column showed it. */
  readonly dates?: DateOrder | undefined
}

/** Options for reading events. */
export interface EventOptions {
  readonly form?: TableForm | undefined
  /** Texts that mean a missing value, besides "". @default `MissingWords.words` */
  readonly missing?: ReadonlyArray<string> | undefined
  readonly dates?: DateOrder | undefined
}

/** Options for reading rows. */
export interface ReadOptions {
  readonly form?: TableForm | undefined
  /** Column whose value is required; rows without one are malformed. @default none */
  readonly key?: string | undefined
  readonly missing?: ReadonlyArray<string> | undefined
  /**
   * Whether to return every distinct row once, with its number of occurrences as an additional last cell. @default
   * false
   */
  readonly distinct?: boolean | undefined
}

/**
 * Reader of CSV, TSV, RecBole's atomic files and Parquet, recognised by content; text plain or gzipped. Paths are not
 * expanded as patterns.
 */
export class TableReader extends Context.Service<TableReader, {
  /** Reads the columns of the header, including repeated names, and the first rows. */
  sample(path: string, form?: TableForm): Effect.Effect<Sample, CatalogError>
  /** Reads the rows of the named columns, in the order of the file. */
  read(path: string, columns: ReadonlyArray<string>, options?: ReadOptions): Effect.Effect<Table, CatalogError>
  /**
   * Reads the events of a file of any size, in the order of the file. Times are parsed by `EventTime`. A row is
   * malformed if its time is not a finite number or date, or its rating is not a finite number; a missing rating is
   * allowed.
   */
  events(path: string, columns: EventColumns, options?: EventOptions): Effect.Effect<EventScan, CatalogError>
}>()("sidereal/catalog/TableReader") {}
