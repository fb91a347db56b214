/**
 * A file as a table, whatever it is: delimited text, Parquet, or records of JSON.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { type CatalogError } from "../CatalogError.ts"
import * as FileKind from "../reader/FileKind.ts"
import * as JsonLines from "../reader/JsonLines.ts"
import * as JsonText from "../reader/JsonText.ts"
import { type Sample, type TableForm, TableReader } from "../reader/TableReader.ts"
import * as TextLines from "../reader/TextLines.ts"
import * as ColumnRoles from "./ColumnRoles.ts"

/** A file with its columns and first rows. */
export interface TableFile extends Sample {
  readonly file: string
  /** Whether it holds records of JSON, read by `JsonLines`; else a `TableReader` reads it. */
  readonly json: boolean
  /** The column whose objects are the events of a row, where rows are sessions; the objects' keys are columns too. */
  readonly nested?: string | undefined
  /** The column of lists of items, where no column holds one item a row: told by its name and by the brackets. */
  readonly listed?: string | undefined
}

const listedIn = (
  columns: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string | null>>
): string | undefined =>
  ColumnRoles.columnOf("item", columns, {}) !== undefined ?
    undefined :
    columns.find((column, at) =>
      ColumnRoles.isListOfItems(column) && rows.length > 0 &&
      rows.every((row) => !row[at] || /^\s*\[.*\]\s*$/s.test(row[at]))
    )

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A column of lists of objects in which items are named. */
const nestedIn = (records: ReadonlyArray<Readonly<Record<string, unknown>>>): string | undefined => {
  const [first] = records
  return Object.keys(first ?? {}).find((key) =>
    ColumnRoles.columnOf("item", Object.keys(first!), {}) === undefined &&
    records.every((record) => Array.isArray(record[key]) && record[key].every(isObject)) &&
    records.some((record) =>
      (record[key] as ReadonlyArray<object>).some((part) =>
        ColumnRoles.columnOf("item", Object.keys(part), {}) !== undefined
      )
    )
  )
}

/** The rows that a record of JSON stands for: itself, or one for each of its nested objects. */
export const rowsOf = (
  record: Readonly<Record<string, unknown>>,
  nested: string | undefined
): ReadonlyArray<Readonly<Record<string, unknown>>> => {
  const parts = nested === undefined ? undefined : record[nested]
  return Array.isArray(parts) ? parts.filter(isObject).map((part) => ({ ...record, ...part })) : [record]
}

const textOf = (value: unknown): string | null =>
  value === undefined || value === null ? null : typeof value === "string" ? value : JSON.stringify(value)

/** The column of the keys under which lists of events stand: those of users or sessions. */
export const keyOf = ({ columns, nested }: TableFile): string | undefined =>
  nested === undefined ? undefined : columns.find((column) => column === JsonText.keyField)

/** Whether a file, or what it packs, has no bytes. */
export const isEmpty = (file: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  FileKind.peek(file).pipe(Effect.map(({ content }) => content === "empty"), Effect.orElseSucceed(() => false))

/** Opens a file and looks at its first rows. Fails for a file that is no table at all. */
export const open = Effect.fn("TableFile.open")(function*(
  file: string,
  form?: TableForm
): Effect.fn.Return<TableFile, CatalogError, FileSystem.FileSystem | TableReader> {
  const kind = yield* FileKind.peek(file, form?.encoding)
  const json = kind.content === "text" && form?.columns === undefined && form?.separator === undefined &&
    JsonLines.looksLikeJson((yield* TextLines.head(file, { encoding: form?.encoding })).join("\n"))
  if (!json) {
    const sample = yield* (yield* TableReader).sample(file, form)
    return { ...sample, file, json, listed: listedIn(sample.columns, sample.rows) }
  }
  const records = yield* JsonLines.head(file, { encoding: form?.encoding })
  const nested = nestedIn(records)
  const rows = records.flatMap((record) => rowsOf(record, nested))
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((column) => column !== nested)
  const cells = rows.slice(0, 50).map((row) => columns.map((column) => textOf(row[column])))
  return {
    file,
    json,
    columns,
    nested,
    listed: listedIn(columns, cells),
    rows: cells,
    header: true,
    what: kind.what,
    notes: kind.notes
  }
})
