/**
 * The column that holds the times of a table of events, or the two of a date and a clock.
 */
import * as EventTime from "../reader/EventTime.ts"
import * as MissingWords from "../reader/MissingWords.ts"
import { type DateAndClock } from "../reader/TableReader.ts"
import * as ColumnRoles from "./ColumnRoles.ts"
import { type Files } from "./TableConfig.ts"
import { type TableFile } from "./TableFile.ts"

/** The cells of a column in the sampled rows. */
export const sampled = ({ columns, rows }: TableFile, column: string): ReadonlyArray<string> => {
  const at = columns.indexOf(column)
  return rows.map((row) => row[at] ?? "").filter((cell) => !MissingWords.isMissing(cell))
}

/**
 * The column of times, or two: a column of hours needs the dates beside it. Undefined where none is recognised; a clock
 * without a date orders nothing.
 */
export const of = (table: TableFile, columns: Files["columns"]): string | DateAndClock | undefined => {
  const given = columns.time
  if (given !== undefined) return typeof given === "string" ? given : { date: given[0], clock: given[1] }
  const names = ColumnRoles.columnsOf("time", table.columns, columns)
  // A day of some month orders nothing.
  const candidates = names.filter((column) => !ColumnRoles.isPartOfDate(column, table.columns)).map((column) => ({
    column,
    looks: EventTime.looksLike(sampled(table, column))
  }))
  const first = (...looks: ReadonlyArray<string>) => candidates.find((candidate) => looks.includes(candidate.looks))
  const clock = first("clock")
  const date = candidates.find(({ column, looks }) =>
    looks === "date" && !sampled(table, column).some((cell) => cell.includes(":"))
  )
  if (clock !== undefined && date !== undefined) return { date: date.column, clock: clock.column }
  // Small whole numbers look like hours and order events all the same.
  const counted = candidates.find(({ column }) =>
    !sampled(table, column).some((cell) => /\d\s*(:|[ap]\.?m)/i.test(cell))
  )
  return (first("epoch", "date") ?? first("number") ?? first("none") ?? counted)?.column
}
