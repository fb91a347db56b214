/**
 * Parsing of cells with lists: categories of an item, or items of a session.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { type CatalogError } from "../CatalogError.ts"
import * as JsonLines from "../reader/JsonLines.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as PythonLiteral from "../reader/PythonLiteral.ts"
import { type EventColumns, type EventOptions, type EventScan, TableReader } from "../reader/TableReader.ts"
import * as TimedEvents from "../reader/TimedEvents.ts"
import * as TableFile from "./TableFile.ts"

/** Returns the texts of a nested list; undefined for other values. */
const wordsOf = (value: unknown): ReadonlyArray<string> | undefined =>
  Array.isArray(value)
    ? (value as ReadonlyArray<unknown>).flat(4).filter((part) => typeof part === "string" || typeof part === "number")
      .map((part) => String(part).trim()).filter((part) => part !== "")
    : undefined

/** Parses the list in a cell: JSON, Python, or as printed by NumPy, with only spaces between the values. */
const listOf = (text: string): ReadonlyArray<unknown> | undefined => {
  if (!/^\s*\[.*\]\s*$/s.test(text)) return undefined
  const parsed = PythonLiteral.tryParseList(text)
  if (parsed !== undefined) return parsed
  const parts = text.trim().slice(1, -1).trim().split(/\s+/).filter((part) => part !== "")
  return parts.every((part) => /^(?:'[^']*'|"[^"]*"|[\w.:-]+)$/.test(part))
    ? parts.map((part) => part.replaceAll(/^['"]|['"]$/g, ""))
    : undefined
}

/** Splits the categories of a cell: a nested list of JSON or Python, or text with separators. */
const splitCategories = (text: string): ReadonlyArray<string> =>
  wordsOf(text.startsWith("[") ? listOf(text) : undefined) ??
    text.replaceAll(/^[[\]'"\s]+|[[\]'"\s]+$/g, "").split(/['"]?\s*[,|;>]\s*['"]?/).map((part) => part.trim())
      .filter((part) => part !== "")

/** Returns a cell as text; the elements of a list are joined. */
export const textOf = (value: unknown): string => {
  const list = typeof value === "string" && value.startsWith("[") ? PythonLiteral.tryParseList(value) : value
  return wordsOf(list)?.join(" ") ?? JsonLines.textOf(value)
}

/** Returns the categories of a cell of the named column. */
export const categoriesOf = (value: unknown, column: string): ReadonlyArray<string> =>
  // RecBole's lists are separated by spaces, unless they contain another separator.
  typeof value === "string" && column.endsWith(":token_seq") && !/[,|;>[]/.test(value)
    ? value.split(/\s+/).filter((part) => part !== "")
    : wordsOf(value) ?? splitCategories(typeof value === "string" ? value : textOf(value))

/** Returns whether the cells of a column hold lists of items: in brackets, or with a configured separator. */
export const isList = (cells: ReadonlyArray<string>, separator: string | undefined): boolean =>
  separator !== undefined || (cells.length > 0 && cells.every((cell) => listOf(cell) !== undefined))

/** Returns the values of a cell, one per event. */
const valuesOf = (cell: string, separator: string | undefined): ReadonlyArray<string> =>
  (separator !== undefined && !cell.trimStart().startsWith("[")
    ? cell.split(separator)
    : listOf(cell) ?? [cell]).map((value) => String(value ?? "").trim()).filter((value) => value !== "")

/** Returns the keys of a list in a cell: in brackets, or separated by spaces. */
export const keysOf = (cell: string): ReadonlyArray<string> => valuesOf(cell, " ")

/** Reads events from a table whose cells hold several items; a list of times of equal length holds their times. */
export const events = Effect.fn("CellList.events")(function*(
  table: TableFile.TableFile,
  { item, time, user }: EventColumns,
  { dates, form, missing = [], separator }: EventOptions & { readonly separator?: string | undefined }
): Effect.fn.Return<EventScan, CatalogError, FileSystem.FileSystem | TableReader> {
  const tally = new Malformed.Tally(table.file)
  const found = TimedEvents.make(table.file, tally, time, dates)
  const timeColumns = TimedEvents.columnsOf(time)
  const take = (line: number, who: string, what: string, cells: ReadonlyArray<string>) => {
    if (who === "" || missing.includes(who)) return tally.add(line, Malformed.problems.missing(user), who)
    const items = valuesOf(what, separator).filter((key) => !missing.includes(key))
    if (items.length === 0) return tally.add(line, Malformed.problems.missing(item), what)
    const [first = "", second] = cells
    const times = second === undefined ? valuesOf(first, first.startsWith("[") ? undefined : separator) : []
    for (const [at, key] of items.entries()) {
      const own = second !== undefined
        ? [first, second] as const
        : [times.length === items.length ? times[at]! : first] as const
      found.add(who, key, line, time === undefined ? undefined : own)
    }
  }
  if (table.json) {
    const cellOf = (value: unknown) =>
      typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value)
    yield* JsonLines.forEach(table.file, tally, (record, line) => {
      for (const row of TableFile.rowsOf(record, table.nested)) {
        take(line, cellOf(row[user]), cellOf(row[item]), timeColumns.map((name) => cellOf(row[name])))
      }
    }, { encoding: form?.encoding })
  } else {
    const { findings, rows } = yield* (yield* TableReader).read(table.file, [user, item, ...timeColumns], { form })
    tally.rows = findings.rows
    tally.join(findings)
    for (const [r, [who, what, ...clock]] of rows.entries()) {
      take(r + 2, who ?? "", what ?? "", clock.map((cell) => cell ?? ""))
    }
  }
  const scan = found.finish()
  return "log" in scan ? scan : yield* scan
})
