/**
 * Selection of the column of times in a table of events, or of the two columns of a date and its clock time.
 */
import * as EventTime from "../reader/EventTime.ts"
import * as MissingWords from "../reader/MissingWords.ts"
import { type DateAndClock } from "../reader/TableReader.ts"
import * as ColumnRoles from "./ColumnRoles.ts"
import { type Files } from "./TableConfig.ts"
import { type TableFile } from "./TableFile.ts"

/** Returns the cells of a column in the sampled rows. */
export const sampled = ({ columns, rows }: TableFile, column: string): ReadonlyArray<string> => {
  const at = columns.indexOf(column)
  return rows.map((row) => row[at] ?? "").filter((cell) => !MissingWords.isMissing(cell))
}

/**
 * Returns the column of times, or two columns of dates and clock times; undefined where none is recognised. A clock
 * time without a date is not a time.
 */
export const of = (table: TableFile, columns: Files["columns"]): string | DateAndClock | undefined => {
  const given = columns.time
  if (given !== undefined) return typeof given === "string" ? given : { date: given[0], clock: given[1] }
  const names = ColumnRoles.columnsOf("time", table.columns, columns)
  // A day of an unknown month is not a time.
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
  // Small whole numbers look like hours but may still order the events.
  const counted = candidates.find(({ column }) =>
    !sampled(table, column).some((cell) => /\d\s*(:|[ap]\.?m)/i.test(cell))
  )
  return (first("epoch", "date") ?? first("number") ?? first("none") ?? counted)?.column
}
