/**
 * A file as DuckDB reads it: its layout, and a copy in UTF-8 where the file is in another encoding.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { statSync } from "node:fs"
import { join } from "node:path"
import { CatalogError, Unreadable } from "../../src/catalog/CatalogError.ts"
import * as Delimited from "../../src/catalog/reader/Delimited.ts"
import * as FileKind from "../../src/catalog/reader/FileKind.ts"
import { type TableForm } from "../../src/catalog/reader/TableReader.ts"
import * as TextLines from "../../src/catalog/reader/TextLines.ts"

/** The layout of a text table. */
export interface Layout {
  readonly columns: ReadonlyArray<string>
  readonly separator: string
  /** Absent when cells are never quoted. */
  readonly quote: string | undefined
  readonly escape: string | undefined
  /** Lines before the first row: comments and the header. */
  readonly skip: number
  /** Spaces after a separator are no part of the next cell. */
  readonly trimmed: boolean
}

/** A file as DuckDB is given it. */
export interface Source {
  /** The user's file. */
  readonly file: string
  /** The file that is read: the user's, or a copy of it. */
  readonly readable: string
  readonly gzip: boolean
  readonly kind: FileKind.FileKind
  /** Absent for Parquet. */
  readonly layout?: Layout | undefined
  /** The first rows of a text table. */
  readonly sampled: Delimited.Format | undefined
}

/** Quotes a text for SQL. */
export const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** Quotes a path that DuckDB would otherwise take for a pattern. */
const literalPath = (path: string): string => quote(path.replaceAll(/[[*?]/g, (character) => `[${character}]`))

const isAtomic = (path: string) => /\.(inter|item|user)(\.gz)?$/i.test(path)

const layoutOf = (file: string, form: TableForm | undefined, found: Delimited.Format): Layout => {
  const atomic = isAtomic(file)
  const separator = form?.separator ?? found.separator
  // Cells of RecBole's files, and of files whose separator was named, are not quoted unless it is said.
  const mark = form?.quote !== undefined
    ? form.quote ?? undefined
    : atomic || (form?.columns !== undefined && form.separator !== undefined)
    ? undefined
    : found.quote
  return {
    columns: form?.columns ?? found.columns,
    separator,
    quote: mark,
    escape: mark === undefined ? undefined : found.escape === "backslash" ? "\\" : mark,
    skip: found.commentLines + (form?.columns === undefined ? 1 : 0),
    trimmed: found.skipSpace
  }
}

/** Returns a function that opens sources, puts UTF-8 copies into `folder`, and inspects an unchanged file only once. */
export const opener = (folder: string) => {
  const known = new Map<string, FileKind.FileKind>()
  const copies = new Map<string, string>()
  return Effect.fnUntraced(function*(
    file: string,
    form: TableForm | undefined,
    depth: "head" | "whole"
  ): Effect.fn.Return<Source, CatalogError, FileSystem.FileSystem> {
    const key = `${depth} ${file} ${form?.encoding ?? ""} ${stampOf(file)}`
    const kind = known.get(key) ?? (yield* depth === "head"
      ? FileKind.peek(file, form?.encoding)
      : FileKind.of(file, form?.encoding))
    known.set(key, kind)
    const source = { file, readable: file, gzip: kind.packed === "gzip", kind }
    if (kind.content === "parquet") return { ...source, sampled: undefined }
    if (kind.content === "empty") {
      return yield* new CatalogError({ reason: new Unreadable({ path: file, detail: "the file is empty" }) })
    }
    if (kind.content !== "text") return yield* FileKind.refuse(file, kind)
    const encoding = { encoding: form?.encoding }
    const head = yield* TextLines.head(file, encoding)
    const sampled = Delimited.sniff(
      head.join("\n"),
      undefined,
      form?.separator ?? (isAtomic(file) ? "\t" : undefined)
    )
    const layout = layoutOf(file, form, sampled)
    // Runs of spaces part cells as one space does.
    const isSpaced = layout.separator === " " && head.some((line) => /^ | {2}| $/.test(line))
    const isPlain = kind.encoding === "utf-8" && kind.lineEnd !== "\r" && !isSpaced
    if (depth === "head" || isPlain) return { ...source, layout, sampled }
    const copyKey = `${key} ${isSpaced}`
    let copy = copies.get(copyKey)
    if (copy === undefined) {
      copy = join(folder, `utf8-${copies.size}.txt`)
      yield* TextLines.transcode(file, copy, {
        ...encoding,
        ...(isSpaced ? { each: (line: string) => line.trim().replaceAll(/ +/g, " ") } : {})
      })
      copies.set(copyKey, copy)
    }
    return { ...source, readable: copy, gzip: false, layout, sampled }
  })
}

const stampOf = (file: string): string => {
  try {
    const { mtimeMs, size } = statSync(file)
    return `${size} ${mtimeMs}`
  } catch {
    return "absent"
  }
}

/** Returns the name of a column for DuckDB, since names in the file may repeat. */
export const columnAt = (index: number): string => `c${index}`

/** Returns the SQL table expression of a source; `rejects` and `scans` name the tables of rejected rows. */
export const expression = (
  { gzip, layout, readable }: Source,
  strict: boolean,
  rejects: string,
  scans: string,
  longestLine?: number
): string => {
  if (layout === undefined) return `read_parquet(${literalPath(readable)}, binary_as_string = true)`
  const columns = layout.columns.map((_, i) => `${columnAt(i)}: 'VARCHAR'`).join(", ")
  return `read_csv(${literalPath(readable)}, auto_detect = false, header = false, skip = ${layout.skip}, ` +
    `delim = ${quote(layout.separator)}, compression = '${gzip ? "gzip" : "none"}', ` +
    `quote = ${quote(layout.quote ?? "")}, escape = ${quote(layout.escape ?? "")}, columns = {${columns}}, ` +
    `encoding = 'utf-8', strict_mode = ${strict}, store_rejects = true, ` +
    `rejects_table = ${quote(rejects)}, rejects_scan = ${quote(scans)}` +
    `${
      longestLine === undefined
        ? ""
        : `, max_line_size = ${longestLine}, buffer_size = ${longestLine}, parallel = false`
    })`
}
