/**
 * `sidereal.json`: which files hold the events and the items of a data set, and what their columns are for, where names
 * and content do not tell.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { CatalogError, Unreadable } from "../CatalogError.ts"
import { type TableForm } from "../reader/TableReader.ts"

/** The file's name. */
export const fileName = "sidereal.json"

const Names = Schema.Union([Schema.NonEmptyString, Schema.NonEmptyArray(Schema.NonEmptyString)])

/** One column, or a date and the clock on that date in two. */
const Time = Schema.Union([Schema.NonEmptyString, Schema.Tuple([Schema.NonEmptyString, Schema.NonEmptyString])])

/** Columns by what they are for. */
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

/** The layout of a table where the file does not show it. */
const Form = {
  columns: Schema.optionalKey(ColumnNames),
  /** Names of the columns of a file without a header line. */
  header: Schema.optionalKey(Schema.NonEmptyArray(Schema.String)),
  /** Text between two cells. */
  separator: Schema.optionalKey(Schema.NonEmptyString),
  /** Quotation mark of cells; the empty text when cells are never quoted. */
  quote: Schema.optionalKey(Schema.String),
  /** Name of the encoding: latin-1, utf-16, shift_jis ... */
  encoding: Schema.optionalKey(Schema.NonEmptyString)
}

/** Files that are read as one table, and their layout where it differs from the other files'. */
const FileConfig = Schema.Struct({ file: Names, ...Form })

const Listed = Schema.Union([Names, FileConfig])

/** The settings of a data folder. */
export class TableConfig extends Schema.Class<TableConfig>("sidereal/catalog/TableConfig")({
  events: Schema.optionalKey(Listed),
  items: Schema.optionalKey(Listed),
  /** Files of events that train, validate and test, instead of `events`. */
  split: Schema.optionalKey(Schema.Struct({ train: Listed, validation: Schema.optionalKey(Listed), test: Listed })),
  /** Columns and layout of every file that does not have its own; `header` is that of the events. */
  ...Form,
  /** Reads 01/02/2024 as 1 February or as 2 January, where no date of the column tells. */
  dates: Schema.optionalKey(Schema.Literals(["day-first", "month-first"])),
  /** Words in a cell of users or items that mean that there is none, besides the empty cell. */
  missing: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Text between the items of a cell that holds several: one event each. Lists in brackets need no setting. */
  lists: Schema.optionalKey(Schema.NonEmptyString),
  /** Minimum events of users and items, where no `--core` is given. */
  core: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
}) {}

/** Columns by what they are for; a time may be a date and the clock on that date in two. */
export type Columns = typeof ColumnNames.Type

/** A group of files with their columns and layout. */
export interface Files {
  readonly files: ReadonlyArray<string>
  readonly columns: Columns
  readonly form: TableForm | undefined
  /** The column of items in the events: the key of a table of items too, where it has such a column. */
  readonly hint?: string | undefined
}

/** Settings where a folder has none. */
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

/** Returns the files of a part with the columns and layout that count for them. */
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
 * The columns at the top count for both tables; a table of items may have another name for its key (`Files.hint`).
 */
const sharedColumns = ({ columns = {} }: TableConfig, role: "events" | "items"): Columns => {
  if (role === "events") {
    const { brand: _brand, categories: _categories, description: _description, title: _title, ...own } = columns
    return columns.title === undefined ? own : { ...own, title: columns.title }
  }
  const { item: _item, rating: _rating, time: _time, ...own } = columns
  return own
}

/** Returns the columns and layout of files that were found and not named. */
export const found = (config: TableConfig, files: ReadonlyArray<string>, role: "events" | "items"): Files => ({
  files,
  columns: sharedColumns(config, role),
  form: formOf(sharedForm(config, role)),
  hint: config.columns?.item
})

/** The header and separator at the top are those of the events: items are another table. */
const sharedForm = ({ encoding, header, quote, separator }: TableConfig, role: "events" | "items") => ({
  ...(encoding === undefined ? {} : { encoding }),
  ...(role === "items" || header === undefined ? {} : { header }),
  ...(role === "items" || separator === undefined ? {} : { separator }),
  ...(role === "items" || quote === undefined ? {} : { quote })
})

/** Whether the settings name files, so that nothing has to be recognised. */
export const namesFiles = (config: TableConfig): boolean => config.events !== undefined || config.split !== undefined

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** Reads the settings of a folder; `none` where it has no such file. */
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
