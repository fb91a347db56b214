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

/** The layout of a text table where the file does not show it or shows it wrongly; Parquet files ignore it. */
export interface TableForm {
  /** Names of the columns of a file without a header line. @default those of the first line */
  readonly columns?: ReadonlyArray<string> | undefined
  /** Text between two cells. @default what the first lines show */
  readonly separator?: string | undefined
  /** Quotation mark around cells that hold separators; null when cells are never quoted. @default what the lines show */
  readonly quote?: string | null | undefined
  /** Name of the encoding, as in the WHATWG standard. @default what the bytes show */
  readonly encoding?: string | undefined
}

/** The first rows of a table. */
export interface Sample {
  readonly columns: ReadonlyArray<string>
  /** At most fifty rows; null where a cell is empty in a Parquet file. */
  readonly rows: ReadonlyArray<ReadonlyArray<string | null>>
  /** Whether the first line names the columns; undefined where it cannot be told. */
  readonly header: boolean | undefined
  /** The kind of the file in words. */
  readonly what: string
  /** Remarks for people: a name that contradicts the content, an encoding that is not UTF-8. */
  readonly notes: ReadonlyArray<string>
}

/** Which fields of a date come first where the text does not tell. */
export type DateOrder = "day-first" | "month-first"

/** A date and the clock on that date in two columns. */
export interface DateAndClock {
  readonly date: string
  readonly clock: string
}

/** Where the parts of an event stand. */
export interface EventColumns {
  readonly user: string
  readonly item: string
  /** Numbers, or dates; without it the order of the file counts. */
  readonly time?: string | DateAndClock | undefined
  /** Read only where a rating is asked for: a rating that nobody needs costs no row. */
  readonly rating?: string | undefined
}

/** Events, and the rows that are none. */
export interface EventScan extends Findings {
  readonly log: EventLog
  /** The order of day and month, where the column told it. */
  readonly dates?: DateOrder | undefined
}

/** How events are read. */
export interface EventOptions {
  readonly form?: TableForm | undefined
  /** Texts that mean "no value", besides the empty one. @default `MissingWords.words` */
  readonly missing?: ReadonlyArray<string> | undefined
  readonly dates?: DateOrder | undefined
}

/** How rows are read. */
export interface ReadOptions {
  readonly form?: TableForm | undefined
  /** A column without which a row is malformed. */
  readonly key?: string | undefined
  readonly missing?: ReadonlyArray<string> | undefined
  /** Every distinct row once, with the number of its occurrences as an additional last cell. @default false */
  readonly distinct?: boolean | undefined
}

/** Reads CSV, TSV, RecBole's atomic files and Parquet, told by content; text plain or gzipped. Paths are never patterns. */
export class TableReader extends Context.Service<TableReader, {
  /** The columns as the header has them, repeats included, and the first rows. */
  sample(path: string, form?: TableForm): Effect.Effect<Sample, CatalogError>
  /** The rows of the named columns, in file order. */
  read(path: string, columns: ReadonlyArray<string>, options?: ReadOptions): Effect.Effect<Table, CatalogError>
  /**
   * The events in file order, of a file of any size. Times are as of `EventTime`. A row without user or item, or with a
   * time or rating that is no finite number or date, is malformed; an absent rating is not.
   */
  events(path: string, columns: EventColumns, options?: EventOptions): Effect.Effect<EventScan, CatalogError>
}>()("sidereal/catalog/TableReader") {}
