/**
 * Settings in `sidereal.json`: the files of events and items of a data set and the roles of their columns, where names
 * and content do not show them.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { CatalogError, Unreadable } from "../CatalogError.ts"
import { type TableForm } from "../reader/TableReader.ts"

/** Name of the file. */
export const fileName = "sidereal.json"

const Names = Schema.Union([Schema.NonEmptyString, Schema.NonEmptyArray(Schema.NonEmptyString)])

/** One column, or two columns of a date and its clock time. */
const Time = Schema.Union([Schema.NonEmptyString, Schema.Tuple([Schema.NonEmptyString, Schema.NonEmptyString])])

/** Columns by role. */
const ColumnNames = Schema.Struct({
  user: Schema.optionalKey(Schema.NonEmptyString),
  item: Schema.optionalKey(Schema.NonEmptyString),
  time: Schema.optionalKey(Time),
  rating: Schema.optionalKey(Schema.NonEmptyString),
  title: Schema.optionalKey(Schema.NonEmptyString),
  description: Schema.optionalKey(Schema.NonEmptyString),
  brand: Schema.optionalKey(Schema.NonEmptyString),
  categories: Schema.optionalKey(Schema.NonEmptyString)
})

/** Layout of a table, overriding detection. */
const Form = {
  columns: Schema.optionalKey(ColumnNames),
  /** Column names of a file without a header line. @default the first line, where it looks like a header */
  header: Schema.optionalKey(Schema.NonEmptyArray(Schema.String)),
  /** Text between two cells. @default detected */
  separator: Schema.optionalKey(Schema.NonEmptyString),
  /** Quotation mark of cells; "" when cells are never quoted. @default detected */
  quote: Schema.optionalKey(Schema.String),
  /** Name of the encoding, such as latin-1, utf-16 or shift_jis. @default detected */
  encoding: Schema.optionalKey(Schema.NonEmptyString)
}

/** Files read as one table, with their own columns and layout. */
const FileConfig = Schema.Struct({ file: Names, ...Form })

const Listed = Schema.Union([Names, FileConfig])

/** Settings of a data folder. */
export class TableConfig extends Schema.Class<TableConfig>("sidereal/catalog/TableConfig")({
  events: Schema.optionalKey(Listed),
  items: Schema.optionalKey(Listed),
  /** Files of events for training, validation and test, instead of `events`. */
  split: Schema.optionalKey(Schema.Struct({ train: Listed, validation: Schema.optionalKey(Listed), test: Listed })),
  /** Columns and layout of every file without its own; `header` applies to the events. */
  ...Form,
  /** Order of day and month, as in 01/02/2024, where no date of the column shows it. */
  dates: Schema.optionalKey(Schema.Literals(["day-first", "month-first"])),
  /** Words that mean a missing user or item, besides the empty cell. @default the usual words, such as NULL and NaN */
  missing: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Separator of several items in one cell, one event each. Lists in brackets need no setting. */
  lists: Schema.optionalKey(Schema.NonEmptyString),
  /** Minimum number of events of users and items, where `--core` is not set. @default 0 */
  core: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
}) {}

/** Columns by role; a time may be two columns, of a date and its clock time. */
export type Columns = typeof ColumnNames.Type

/** A group of files with their columns and layout. */
export interface Files {
  readonly files: ReadonlyArray<string>
  readonly columns: Columns
  readonly form: TableForm | undefined
  /** Column of items in the events, which is also the key of a table of items with a column of this name. */
  readonly hint?: string | undefined
}

/** Settings of a folder without a `sidereal.json`. */
export const none = new TableConfig({})

const formOf = (
  { encoding, header, quote, separator }: {
    readonly header?: ReadonlyArray<string>
    readonly separator?: string
    readonly quote?: string
    readonly encoding?: string
  }
): TableForm | undefined =>
  header === undefined && separator === undefined && quote === undefined && encoding === undefined ? undefined : {
    columns: header,
    separator,
    quote: quote === "" ? null : quote,
    encoding
  }

/** Returns the files of a part with their columns and layout. */
export const filesOf = (config: TableConfig, files: typeof Listed.Type, role: "events" | "items"): Files => {
  const own = typeof files === "string" ? { file: [files] } : "file" in files
    ? { ...files, file: typeof files.file === "string" ? [files.file] : files.file }
    : { file: files }
  const { file, ...rest } = { columns: undefined, ...own }
  const { columns, ...form } = rest
  return {
    files: file,
    columns: { ...sharedColumns(config, role), ...columns },
    form: formOf({ ...sharedForm(config, role), ...form }),
    hint: config.columns?.item
  }
}

/**
 * Returns the top-level columns for a role; they apply to both tables, but a table of items may have another name for
 * its key (`Files.hint`).
 */
const sharedColumns = ({ columns = {} }: TableConfig, role: "events" | "items"): Columns => {
  if (role === "events") {
    const { brand: _brand, categories: _categories, description: _description, title: _title, ...own } = columns
    return columns.title === undefined ? own : { ...own, title: columns.title }
  }
  const { item: _item, rating: _rating, time: _time, ...own } = columns
  return own
}

/** Returns the columns and layout of files that the settings do not name. */
export const found = (config: TableConfig, files: ReadonlyArray<string>, role: "events" | "items"): Files => ({
  files,
  columns: sharedColumns(config, role),
  form: formOf(sharedForm(config, role)),
  hint: config.columns?.item
})

/** Returns the top-level layout for a role; header and separator apply to the events only. */
const sharedForm = ({ encoding, header, quote, separator }: TableConfig, role: "events" | "items") => ({
  ...(encoding === undefined ? {} : { encoding }),
  ...(role === "items" || header === undefined ? {} : { header }),
  ...(role === "items" || separator === undefined ? {} : { separator }),
  ...(role === "items" || quote === undefined ? {} : { quote })
})

/** Returns whether the settings name the files, so that none have to be recognised. */
export const namesFiles = (config: TableConfig): boolean => config.events !== undefined || config.split !== undefined

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** Reads the settings of a folder; returns `none` where it has no `sidereal.json`. */
export const read = Effect.fn("TableConfig.read")(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(folder, fileName)
  const failed = (detail: string) => new CatalogError({ reason: new Unreadable({ path: file, detail }) })
  if (!(yield* fs.exists(file).pipe(Effect.orElseSucceed(() => false)))) return none
  const bytes = yield* fs.readFile(file).pipe(Effect.mapError((error) => failed(error.message)))
  const text = new TextDecoder(bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : "utf-8").decode(bytes)
  const json = yield* Effect.try({
    try: () => JSON.parse(text) as unknown,
    catch: (cause) => failed(`it is not JSON: ${(cause as Error).message}`)
  })
  return yield* Schema.decodeUnknownEffect(TableConfig, { errors: "all", onExcessProperty: "error" })(json).pipe(
    Effect.mapError((error) =>
      failed(
        format(error.issue).issues.map(({ message, path: keys = [] }) =>
          `${
            keys.map((part) => String(typeof part === "object" ? part.key : part)).join(".") || "the file"
          }: ${message}`
        ).join("; ")
      )
    )
  )
})
