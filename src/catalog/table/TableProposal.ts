/**
 * Proposals of a `sidereal.json` for tables whose columns have unusual names: guesses by names and values, which the
 * user has to confirm.
 */
import * as Printable from "../../text/Printable.ts"
import * as EventTime from "../reader/EventTime.ts"
import * as TimedEvents from "../reader/TimedEvents.ts"
import * as ColumnRoles from "./ColumnRoles.ts"
import { type Files, type TableConfig } from "./TableConfig.ts"
import { type TableFile } from "./TableFile.ts"
import * as TimeColumn from "./TimeColumn.ts"

/** Partial content of a `sidereal.json`. */
export type Proposal = typeof TableConfig.Encoded

/** Patterns of names that suggest a role without being usual names. */
const hints = {
  user:
    /user|customer|client|member|visitor|session|account|buyer|shopper|reviewer|person|people|listener|player|uid|who/i,
  item:
    /item|prod|article|movie|film|book|song|track|game|sku|asin|isbn|content|video|news|place|business|course|good|thing|what/i,
  time: /time|date|stamp|when|day|epoch|_at$|^at$|^ts$/i
} as const

/** Returns whether a column's name suggests users. */
export const mayHaveUsers = ({ columns }: TableFile): boolean => columns.some((column) => hints.user.test(column))

/** Returns the columns that may hold times: by their values first, then by their names. */
export const timeColumns = (table: TableFile): ReadonlyArray<string> => {
  const taken = new Set(
    (["user", "item"] as const).map((role) => ColumnRoles.columnOf(role, table.columns, {}))
  )
  const free = table.columns.filter((column) => !taken.has(column) && !ColumnRoles.isPartOfDate(column, table.columns))
  const looks = new Map(free.map((column) => [column, EventTime.looksLike(TimeColumn.sampled(table, column))]))
  const moments = free.filter((column) => looks.get(column) === "epoch" || looks.get(column) === "date")
  return [
    ...moments,
    ...free.filter((column) => !moments.includes(column) && looks.get(column) !== "none" && hints.time.test(column))
  ]
}

/** Returns a remark that no column of times was recognised, with the candidates. */
export const noTimes = (table: TableFile, proposed: ReadonlyArray<string>): string =>
  `no column of times was recognised in ${table.file} (columns ${
    table.columns.map((column) => JSON.stringify(column)).join(", ")
  }): events count in the order of the file` +
  (proposed.length === 0
    ? ""
    : `; ${proposed.map((column) => JSON.stringify(column)).join(" or ")} may hold times: ` +
      `{"columns": {"time": ${JSON.stringify(proposed[0])}}} in a sidereal.json beside it`)

/** Guesses the roles of a table's columns by names and values. */
const guess = (
  table: TableFile,
  columns: Files["columns"]
): Readonly<Record<string, string | readonly [string, string]>> => {
  const taken = new Set<string>()
  const chosen: Record<string, string> = {}
  const take = (role: "user" | "item" | "time", among: ReadonlyArray<string>) => {
    const usual = role === "time" ? timeOf(table, columns)[0] : ColumnRoles.columnOf(role, table.columns, columns)
    const column = usual ?? among.find((name) => !taken.has(name))
    if (column === undefined) return
    taken.add(column)
    if (usual === undefined) chosen[role] = column
  }
  const times = timeColumns(table)
  const named = (role: "user" | "item") => table.columns.filter((column) => hints[role].test(column))
  const listed = table.listed ?? listColumn(table)?.column
  if (listed !== undefined) {
    taken.add(listed)
    if (listed !== table.listed) chosen["item"] = listed
  }
  take("time", times)
  take("user", named("user"))
  if (listed === undefined) take("item", named("item"))
  // For names without meaning, prefer keys to measures.
  const rest = table.columns.filter((column) => !taken.has(column) && isKeys(TimeColumn.sampled(table, column)))
    .toSorted((a, b) => Number(keyName.test(b)) - Number(keyName.test(a)))
  if (chosen["user"] === undefined && ColumnRoles.columnOf("user", table.columns, columns) === undefined) {
    take("user", rest)
  }
  if (
    listed === undefined && chosen["item"] === undefined &&
    ColumnRoles.columnOf("item", table.columns, columns) === undefined
  ) {
    take("item", rest)
  }
  return chosen
}

const keyName = /(id|key|code|no|nr|number)s?$/i

/** Returns whether values may be keys: no fractions, and not the same value in every row. */
const isKeys = (values: ReadonlyArray<string>): boolean =>
  !values.some((value) => /^-?\d*[.,]\d*[1-9]\d*$/.test(value)) && (values.length < 3 || new Set(values).size > 1)

/** Returns a column whose name means several items and whose cells have a separator. */
const listColumn = (table: TableFile): { readonly column: string; readonly separator: string } | undefined => {
  for (const column of table.columns.filter((name) => ColumnRoles.isListOfItems(name))) {
    const values = TimeColumn.sampled(table, column)
    for (const separator of ["|", ";", ",", " ", "-"]) {
      if (values.length > 0 && 2 * values.filter((value) => value.includes(separator)).length > values.length) {
        return { column, separator }
      }
    }
  }
  return undefined
}

/** Guesses column names of a file without a header line, by the values. */
const headerOf = (table: TableFile): readonly [string, ...Array<string>] => {
  const rows = [table.columns, ...table.rows]
  const names: Array<string> = []
  let free = ["user", "item"]
  for (const [at] of table.columns.entries()) {
    const values = rows.map((row) => row[at] ?? "")
    const looks = EventTime.looksLike(values)
    if ((looks === "epoch" || looks === "date") && !names.includes("time")) names.push("time")
    else if (free.length === 0 && values.every((value) => /^\d(\.\d+)?$/.test(value)) && !names.includes("rating")) {
      names.push("rating")
    } else {
      names.push(free[0] ?? `column_${at + 1}`)
      free = free.slice(1)
    }
  }
  return names as [string, ...Array<string>]
}

/** Proposes the settings for a table of events. */
export const ofEvents = (table: TableFile, columns: Files["columns"] = {}, file?: string): Proposal => {
  const events = file === undefined ? {} : { events: file }
  if (table.columns.length < 2 || isWide(table)) return {}
  if (table.header === false) return { ...events, header: headerOf(table) }
  const chosen = guess(table, columns)
  return { ...events, ...(Object.keys(chosen).length === 0 ? {} : { columns: chosen }), ...listsOf(table) }
}

const listsOf = (table: TableFile): { readonly lists?: string } => {
  const list = table.listed === undefined ? listColumn(table) : undefined
  return list === undefined ? {} : { lists: list.separator }
}

/** Returns whether a table without a header line has too many columns to guess their names. */
export const isWide = ({ columns, header }: TableFile): boolean => columns.length > 20 && header !== true

/** Returns whether a table has one column per item, like a matrix of ratings. */
const isMatrix = (table: TableFile): boolean =>
  isWide(table) &&
  table.rows.every((row) => row.every((cell) => cell === null || cell === "" || /^-?[\d.,]+$/.test(cell)))

/** Proposes the settings for titles in a file without a header line. */
export const ofItems = (table: TableFile): Proposal => ({
  items: {
    file: table.file.replace(/^.*[\\/]/, ""),
    header: ["item", ...table.columns.slice(1).map((_, at) => at === 0 ? "title" : `column_${at + 2}`)]
  }
})

/** Scores how likely a table holds events, by the roles of its columns. */
export const likeness = (table: TableFile): number =>
  (["user", "item", "time"] as const).reduce(
    (sum, role) =>
      sum + (ColumnRoles.columnOf(role, table.columns, {}) !== undefined
        ? 4
        : table.columns.some((column) => hints[role].test(column))
        ? 2
        : 0),
    Math.min(table.columns.length, 3)
  )

/** Returns the recognised columns of times: none, one, or a date and a clock time. */
const timeOf = (table: TableFile, columns: Files["columns"]): ReadonlyArray<string> =>
  TimedEvents.columnsOf(TimeColumn.of(table, columns))

/** Returns the column of every role, recognised or guessed. */
const named = (table: TableFile): Readonly<Record<string, string | readonly [string, string]>> => {
  const [date, clock] = timeOf(table, {})
  const time = date === undefined ? {} : { time: clock === undefined ? date : [date, clock] as const }
  const usual = Object.fromEntries(
    (["user", "item", "rating"] as const).flatMap((role) => {
      const column = ColumnRoles.columnOf(role, table.columns, {}) ?? (role === "item" ? table.listed : undefined)
      return column === undefined ? [] : [[role, column]]
    })
  )
  return { ...usual, ...time, ...guess(table, {}) }
}

/** Proposes the settings for a table of events and one of items, with every column named. */
export const ofTables = (
  events: {
    readonly table: TableFile
    readonly files: ReadonlyArray<string>
    readonly parts: ReadonlyArray<number> | undefined
    readonly header: ReadonlyArray<string> | undefined
  },
  items: { readonly table: TableFile; readonly files: ReadonlyArray<string> } | undefined
): Proposal => {
  const list = (files: ReadonlyArray<string>) => files.length === 1 ? files[0]! : files as [string, ...Array<string>]
  const layout = events.header !== undefined
    ? { header: events.header as [string, ...Array<string>] }
    : events.table.header === false
    ? { header: headerOf(events.table) }
    : { columns: named(events.table) }
  const itemColumns = items === undefined ? {} : Object.fromEntries(
    (["item", "title", "description", "brand", "categories"] as const).flatMap((role) => {
      const column = role === "item"
        ? ColumnRoles.itemKeyOf(items.table.columns, { columns: {} })
        : ColumnRoles.columnOf(role, items.table.columns, {})
      return column === undefined ? [] : [[role, column]]
    })
  )
  const of = (part: number) => events.files.filter((_, at) => events.parts?.[at] === part)
  const files = (names: ReadonlyArray<string>) => ({ file: list(names), ...layout })
  return {
    ...(events.parts === undefined ? { events: files(events.files) } : {
      split: {
        train: files(of(0)),
        ...(of(1).length === 0 ? {} : { validation: files(of(1)) }),
        test: files(of(2))
      }
    }),
    ...(items === undefined ? {} : { items: { file: list(items.files), columns: itemColumns } }),
    ...listsOf(events.table)
  }
}

/** Returns a proposal as the text of a file; "" for an empty proposal. */
export const text = (proposal: Proposal): string => Object.keys(proposal).length === 0 ? "" : JSON.stringify(proposal)

const shown = 120

/** Returns the first three rows, each cut to one line. */
export const firstRows = (table: TableFile): ReadonlyArray<string> =>
  table.rows.slice(0, 3).map((row) => {
    const line = Printable.line(row.map((cell) => cell ?? "").join(" | "))
    return line.length > shown ? `${line.slice(0, shown - 3)}...` : line
  })

/** Describes a file in one line: its kind, its columns, and missing ones; its first rows follow. */
export const describe = (table: TableFile, columns: Files["columns"]): string => {
  const lacking = (["user", "item"] as const).filter((role) =>
    ColumnRoles.columnOf(role, table.columns, columns) === undefined
  )
  const names = table.columns.slice(0, 12).map((column) => JSON.stringify(column.slice(0, 60))).join(", ")
  return `${table.file}: ${table.what} with columns ${names}${table.columns.length > 12 ? ", ..." : ""}` +
    (lacking.length === 0
      ? ""
      : `; it lacks ${
        lacking.map((role) => `a column of ${role}s (${ColumnRoles.usualNames[role].slice(0, 5).join(", ")} ...)`).join(
          " and "
        )
      }`) +
    (isMatrix(table)
      ? "; it looks like a matrix with a column for every item: write a row for every event, with its user and item"
      : table.header === false
      ? "; the first line looks like a row, not like names of columns"
      : "") +
    firstRows(table).map((row) => `\n      ${row}`).join("")
}
