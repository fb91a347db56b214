/**
 * Files as tables: delimited text, Parquet, or JSON records.
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
  /** Whether it holds JSON records, read by `JsonLines`; other files are read by `TableReader`. */
  readonly json: boolean
  /** Column with lists of event objects, where rows are sessions; the objects' keys are columns too. */
  readonly nested?: string | undefined
  /** Column with lists of items, where no column holds one item per row; recognised by its name and brackets. */
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

/** Returns the column with lists of objects that name items. */
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

/** Returns the rows of a JSON record: the record itself, or one row per nested object. */
export const rowsOf = (
  record: Readonly<Record<string, unknown>>,
  nested: string | undefined
): ReadonlyArray<Readonly<Record<string, unknown>>> => {
  const parts = nested === undefined ? undefined : record[nested]
  return Array.isArray(parts) ? parts.filter(isObject).map((part) => ({ ...record, ...part })) : [record]
}

const textOf = (value: unknown): string | null =>
  value === undefined || value === null ? null : typeof value === "string" ? value : JSON.stringify(value)

/** Returns the column of users or sessions, where lists of events are values under their keys. */
export const keyOf = ({ columns, nested }: TableFile): string | undefined =>
  nested === undefined ? undefined : columns.find((column) => column === JsonText.keyField)

/** Returns whether a file has no bytes after decompression. */
export const isEmpty = (file: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  FileKind.peek(file).pipe(Effect.map(({ content }) => content === "empty"), Effect.orElseSucceed(() => false))

/** Reads the columns and first rows of a file; fails for a file that is not a table. */
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
