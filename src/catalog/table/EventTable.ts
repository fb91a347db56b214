/**
 * Import of events and items from tables: selects their columns and joins the files of one table.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import type * as Scope from "effect/Scope"
import * as Progress from "../../run/Progress.ts"
import * as Assemble from "../Assemble.ts"
import { AmbiguousColumn, CatalogError, MissingColumn, NoEvents, NoRatings, NoTimes } from "../CatalogError.ts"
import { type Count, type Dataset, type Item } from "../Dataset.ts"
import * as EventLog from "../EventLog.ts"
import * as JsonLines from "../reader/JsonLines.ts"
import * as Keys from "../reader/Keys.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as MissingWords from "../reader/MissingWords.ts"
import { type DateOrder, type EventColumns, type EventScan, TableReader } from "../reader/TableReader.ts"
import * as TimedEvents from "../reader/TimedEvents.ts"
import * as CellList from "./CellList.ts"
import * as ColumnRoles from "./ColumnRoles.ts"
import * as Parts from "./Parts.ts"
import { type Files, type TableConfig } from "./TableConfig.ts"
import * as TableFile from "./TableFile.ts"
import * as TableProposal from "./TableProposal.ts"
import * as TimeColumn from "./TimeColumn.ts"

/** Options for loading tables. */
export interface LoadOptions {
  readonly filter: Assemble.FilterConfig
  readonly seed: number
  /** Whether the first malformed row is an error. */
  readonly strict: boolean
}

type Needs = FileSystem.FileSystem | Path.Path | TableReader

/** Fails with the columns of a file, its first rows, and proposed settings. */
const missing = (role: ColumnRoles.Role, table: TableFile.TableFile, columns: Files["columns"]) =>
  Effect.fail(
    new CatalogError({
      reason: new MissingColumn({
        file: table.file,
        wanted: role,
        names: columns[role] === undefined ? [...ColumnRoles.usualNames[role]] : [columns[role]].flat(),
        found: table.columns.length === 0 ? ["nothing"] : [...table.columns],
        rows: TableProposal.firstRows(table),
        proposal: TableProposal.text(TableProposal.ofEvents(table, columns))
      })
    })
  )

/**
 * Returns the column of a role, undefined if there is none; fails for a configured column that is missing or ambiguous.
 */
const optional = Effect.fnUntraced(
  function*(role: ColumnRoles.Role, table: TableFile.TableFile, columns: Files["columns"]) {
    const column = ColumnRoles.columnOf(role, table.columns, columns)
    if (column === undefined && columns[role] !== undefined) return yield* missing(role, table, columns)
    const times = table.columns.filter((other) => other === column).length
    if (column === undefined || times === 1) return column
    return yield* new CatalogError({ reason: new AmbiguousColumn({ file: table.file, column, times }) })
  }
)

const required = Effect.fnUntraced(
  function*(role: ColumnRoles.Role, table: TableFile.TableFile, columns: Files["columns"]) {
    return (yield* optional(role, table, columns)) ?? (yield* missing(role, table, columns))
  }
)

/** Events of one file, or of several read as one table, with remarks. */
interface Events {
  readonly log: EventLog.EventLog
  /** Index of the first event of each file in the log, then the number of all events. */
  readonly starts: ReadonlyArray<number>
  readonly findings: Malformed.Findings
  readonly table: TableFile.TableFile
  readonly hasTimes: boolean
  readonly notes: ReadonlyArray<string>
}

/** Reads the events of a file; a cell with a list becomes one event per item. */
const scan = Effect.fnUntraced(function*(
  table: TableFile.TableFile,
  named: EventColumns,
  { form }: Files,
  config: TableConfig,
  dates: DateOrder | undefined
): Effect.fn.Return<EventScan, CatalogError, Needs> {
  const options = { form, missing: config.missing ?? MissingWords.words, dates: config.dates ?? dates }
  if (table.nested !== undefined || CellList.isList(TimeColumn.sampled(table, named.item), config.lists)) {
    return yield* CellList.events(table, named, { ...options, separator: config.lists })
  }
  return yield* table.json
    ? JsonLines.events(table.file, named, options)
    : (yield* TableReader).events(table.file, named, options)
})

/** Result for an empty part of a table. */
const nothing: EventScan = { log: EventLog.builder().build(), rows: 0, problems: [], malformed: [] }

/** Reads files of events as one table. */
export const readEvents = Effect.fn("EventTable.readEvents")(function*(
  source: Files,
  config: TableConfig,
  options: Pick<LoadOptions, "filter" | "strict">
): Effect.fn.Return<Events, CatalogError, Needs> {
  const scans: Array<EventScan> = []
  const notes = new Set<string>()
  const undecided: Array<number> = []
  const empty: Array<string> = []
  let dates: DateOrder | undefined
  const tables: Array<{ readonly table: TableFile.TableFile; readonly named: EventColumns }> = []
  for (const [at, file] of source.files.entries()) {
    const table = yield* TableFile.open(file, source.form).pipe(
      Effect.catch((error) =>
        Effect.flatMap(TableFile.isEmpty(file), (is) =>
          is && source.files.length > 1
            ? Effect.succeed(undefined)
            : Effect.fail(error))
      )
    )
    if (table === undefined) {
      empty.push(file)
      scans[at] = nothing
      continue
    }
    for (const note of table.notes) notes.add(note)
    const time = TimeColumn.of(table, source.columns)
    for (const column of TimedEvents.columnsOf(time)) {
      yield* optional("time", table, { ...source.columns, time: column })
    }
    const rating = yield* optional("rating", table, source.columns)
    if (options.filter.ratingFloor !== undefined && rating === undefined) {
      return yield* new CatalogError({ reason: new NoRatings({ file, found: [...table.columns] }) })
    }
    const named: EventColumns = {
      user: (yield* optional("user", table, source.columns)) ?? TableFile.keyOf(table) ??
        (yield* missing("user", table, source.columns)),
      item: (yield* optional("item", table, source.columns)) ?? table.listed ??
        (yield* missing("item", table, source.columns)),
      time,
      rating: options.filter.ratingFloor === undefined ? undefined : rating
    }
    tables[at] = { table, named }
    const found = yield* scan(table, named, source, config, dates).pipe(
      Effect.catchReason(
        "CatalogError",
        "AmbiguousDates",
        (reason) =>
          source.files.length === 1 && ColumnRoles.dateOrderOf(table.columns) === undefined
            ? Effect.fail(new CatalogError({ reason }))
            : Effect.succeed(undefined)
      )
    )
    if (found === undefined) undecided.push(at)
    else {
      dates ??= found.dates
      scans[at] = found
    }
  }
  // The dates of one file may show the order of day and month for the others.
  for (const at of undecided) {
    const { named, table } = tables[at]!
    scans[at] = yield* scan(table, named, source, config, dates ?? ColumnRoles.dateOrderOf(table.columns))
  }
  for (const [at, { findings }] of scans.map((findings) => ({ findings })).entries()) {
    yield* Malformed.settle(source.files[at]!, findings, options.strict)
  }
  const read = tables.filter((table) => table !== undefined)
  if (read.length === 0) {
    return yield* new CatalogError({ reason: new NoEvents({ detail: `${source.files.join(", ")} are empty files` }) })
  }
  const withTimes = read.filter(({ named }) => named.time !== undefined).length
  if (withTimes > 0 && withTimes < read.length) {
    const without = read.find(({ named }) => named.time === undefined)!.table
    return yield* missing("time", without, source.columns)
  }
  if (empty.length > 0) {
    notes.add(`${empty.length} ${empty.length === 1 ? "file is" : "files are"} empty, such as ${empty[0]!}`)
  }
  const { log, starts } = EventLog.concatenate(scans.map((found) => found.log))
  return {
    log,
    starts,
    findings: Malformed.joined(scans),
    table: read[0]!.table,
    hasTimes: withTimes > 0,
    notes: [...notes]
  }
})

/** Items by key, with the malformed rows. */
export interface ItemScan {
  readonly items: ReadonlyMap<string, Item>
  readonly findings: Malformed.Findings
  /** Number of rows with the key of an earlier row. */
  readonly repeated: number
  /** A key of the table; undefined for a table without rows. */
  readonly example?: string | undefined
}

const noItems: ItemScan = {
  items: new Map(),
  findings: { rows: 0, problems: [], malformed: [] },
  repeated: 0
}

const filled = ({ brand, categories, description, title }: Item, key: string): number =>
  [title !== "" && title !== key, description !== "", brand !== "", categories.length > 0].filter(Boolean).length

const length = ({ brand, categories, description, title }: Item): number =>
  title.length + description.length + brand.length + categories.join("").length

/** Merges two rows of an item: the one with more texts, with missing texts from the other. */
const fuller = (a: Item, b: Item): Item => {
  const [first, second] = filled(b, b.key) - filled(a, a.key) || length(b) - length(a) > 0 ? [b, a] : [a, b]
  return {
    key: first.key,
    title: first.title === first.key ? second.title : first.title,
    description: first.description || second.description,
    brand: first.brand || second.brand,
    categories: first.categories.length > 0 ? first.categories : second.categories
  }
}

/** Reads the texts of the wanted items; several rows of an item are merged, the fullest first. */
export const readItems = Effect.fn("EventTable.readItems")(function*(
  source: Files,
  config: TableConfig,
  wanted: { has(key: string): boolean }
): Effect.fn.Return<ItemScan, CatalogError, Needs> {
  const items = new Map<string, Item>()
  const all: Array<Malformed.Findings> = []
  let repeated = 0
  let example: string | undefined
  const absent = new Set(config.missing ?? MissingWords.words)
  for (const file of source.files) {
    const table = yield* TableFile.open(file, source.form)
    const key = ColumnRoles.itemKeyOf(table.columns, source) ?? (yield* missing("item", table, source.columns))
    yield* optional("item", table, { ...source.columns, item: key })
    for (const role of ["title", "description", "brand", "categories"] as const) {
      if (source.columns[role] !== undefined) yield* required(role, table, source.columns)
    }
    const roles = (["title", "description", "brand", "categories"] as const).map((role) =>
      ColumnRoles.columnsOf(role, table.columns, source.columns).filter((name) => name !== key)
    )
    const add = (id: string, cell: (column: string) => unknown) => {
      example ??= id
      if (!wanted.has(id)) return
      const first = (role: number) =>
        roles[role]!.map((name) => CellList.textOf(cell(name))).find((text) => text !== "" && !absent.has(text)) ?? ""
      const item: Item = {
        key: id,
        title: first(0) || id,
        description: first(1),
        brand: first(2),
        categories: [
          ...new Set(
            roles[3]!.map((name) => CellList.categoriesOf(cell(name), name)).find((list) => list.length > 0) ?? []
          )
        ]
      }
      const known = items.get(id)
      if (known !== undefined) repeated++
      items.set(id, known === undefined ? item : fuller(known, item))
    }
    const tally = new Malformed.Tally(file, "item rows")
    if (table.json) {
      const rows: Array<readonly [string, Readonly<Record<string, unknown>>]> = []
      yield* JsonLines.forEach(file, tally, (row, line) => {
        const id = CellList.textOf(row[key])
        if (id === "" || absent.has(id)) tally.add(line, Malformed.problems.missing(key), row[key])
        else rows.push([id, row])
      }, { encoding: source.form?.encoding })
      const ids = Keys.whole(rows.map(([id]) => id))
      for (const [at, [, row]] of rows.entries()) add(ids[at]!, (name) => row[name])
      all.push(tally.findings)
    } else {
      const names = [...new Set([key, ...roles.flat()])]
      const { findings, rows } = yield* (yield* TableReader).read(file, names, {
        form: source.form,
        key,
        missing: config.missing
      })
      const at = new Map(names.map((name, i) => [name, i]))
      const ids = Keys.whole(rows.map((row) => row[0]!))
      for (const [r, row] of rows.entries()) add(ids[r]!, (name) => row[at.get(name)!])
      all.push({ ...findings, problems: findings.problems.map(({ count, step }) => ({ step: `item ${step}`, count })) })
    }
  }
  return { items, findings: Malformed.joined(all), repeated, example }
})

/** Returns each item's most frequent title in the events; undefined where the titles are not those of items. */
const titlesOf = Effect.fnUntraced(function*(
  source: Files,
  { columns, json }: TableFile.TableFile,
  config: TableConfig,
  wanted: { has(key: string): boolean }
) {
  const title = ColumnRoles.columnOf("title", columns, source.columns)
  const item = ColumnRoles.columnOf("item", columns, source.columns)
  if (title === undefined || item === undefined || title === item) return undefined
  if (source.columns.title === undefined && ColumnRoles.isReviews(columns)) return undefined
  const names = new Map<string, Map<string, number>>()
  const add = (key: string, text: string, count: number) => {
    if (text === "" || MissingWords.isMissing(text) || !wanted.has(key)) return
    let counts = names.get(key)
    if (counts === undefined) names.set(key, counts = new Map())
    counts.set(text, (counts.get(text) ?? 0) + count)
  }
  for (const file of source.files) {
    if (json) {
      yield* JsonLines.forEach(file, new Malformed.Tally(file), (row) => {
        add(CellList.textOf(row[item]), CellList.textOf(row[title]).trim(), 1)
      }, { encoding: source.form?.encoding })
    } else {
      const { rows } = yield* (yield* TableReader).read(file, [item, title], {
        form: source.form,
        missing: config.missing,
        distinct: true
      })
      const ids = Keys.whole(rows.map((row) => row[0] ?? ""))
      for (const [r, row] of rows.entries()) add(ids[r]!, row[1]?.trim() ?? "", Number(row[2]))
    }
  }
  let [same, all] = [0, 0]
  const items = new Map<string, Item>()
  for (const [key, counts] of names) {
    const [[text, most]] = [...counts].toSorted((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)) as [[string, number]]
    items.set(key, { key, title: text, description: "", brand: "", categories: [] })
    same += most
    for (const count of counts.values()) all += count
  }
  // A text that differs between events of an item is not its title.
  return 2 * same <= all || items.size === 0 ? undefined : { title, items }
})

/** Files of events and items, with the split of the events. */
export interface Tables {
  readonly events: Files
  readonly items?: Files | undefined
  /** Part of the split of each file of events: 0 training, 1 validation, 2 test. @default no split */
  readonly parts?: ReadonlyArray<number> | undefined
  readonly notes?: ReadonlyArray<string> | undefined
  /** Function that reads the items. @default readItems */
  readonly readItems?: typeof readItems | undefined
}

/** Loads a data set from tables. Without a column of times, events are in the order of the file and have no times. */
export const load = Effect.fn("EventTable.load")(function*(
  name: string,
  tables: Tables,
  config: TableConfig,
  options: LoadOptions
): Effect.fn.Return<Dataset, CatalogError, Needs | Scope.Scope> {
  const { items: itemFiles } = tables
  // Only parts that each have a header line can be joined.
  const joined = tables.events.form?.columns === undefined && tables.events.form?.encoding === undefined
    ? yield* Parts.join(tables.events.files, tables.parts)
    : undefined
  const read = joined === undefined ? undefined : yield* readEvents(
    { ...tables.events, files: joined.files },
    config,
    options
  ).pipe(Effect.option)
  // Errors refer to the original files.
  const isJoined = read?._tag === "Some"
  const events = isJoined ? { ...tables.events, files: joined!.files } : tables.events
  const parts = isJoined ? joined!.parts : tables.parts
  const { findings, hasTimes, log, notes: eventNotes, starts, table: first } = isJoined
    ? read.value
    : yield* readEvents(events, config, options)
  const table = { ...first, file: tables.events.files[0]! }
  if (log.users.length === 0) {
    const detail = findings.rows === 0
      ? "has a header and no rows"
      : `has no row that can be used (${findings.problems.map(({ count, step }) => `${step}: ${count}`).join(", ")}` +
        findings.malformed.slice(0, 1).map(({ line, value }) => `; line ${line} has ${value}`).join("") + ")"
    return yield* new CatalogError({ reason: new NoEvents({ detail: `${tables.events.files.join(", ")} ${detail}` }) })
  }
  const { filter, seed } = options
  const wish = Assemble.timesWanted(filter)
  const notes = [...tables.notes ?? [], ...new Set([...eventNotes, ...findings.notes ?? []])]
  if (!hasTimes) {
    const proposed = TableProposal.timeColumns(table)
    if (wish !== undefined) {
      return yield* new CatalogError({ reason: new NoTimes({ wanted: wish, columns: proposed }) })
    }
    notes.push(TableProposal.noTimes(table, proposed))
  }
  if (tables.parts !== undefined) {
    const of = (part: number) => tables.parts!.filter((one) => one === part).length
    notes.push(
      `the events' files are a split: ${of(0)} to train, ${of(1)} to validate, ${of(2)} to test` +
        (of(1) > 0 ? "" : "; a user's last training event validates")
    )
  } else if (tables.events.files.length > 1) {
    notes.push(`${tables.events.files.length} files of events are read as one table`)
  }
  const wanted = new Set(log.itemKeys)
  let scanned: ItemScan = noItems
  if (itemFiles !== undefined) {
    scanned = yield* (tables.readItems ?? readItems)(itemFiles, config, wanted)
    yield* Malformed.settle(itemFiles.files[0]!, scanned.findings, options.strict)
    notes.push(...(scanned.findings.notes ?? []).filter((note) => !notes.includes(note)))
    if (scanned.items.size === 0 && scanned.example !== undefined) {
      notes.push(
        `no item of ${itemFiles.files.join(", ")} occurs in the events: its keys are like "${scanned.example}", ` +
          `those of the events like "${log.itemKeys[0] ?? ""}"`
      )
    }
  } else {
    const told = yield* titlesOf(events, table, config, wanted)
    if (told !== undefined) {
      scanned = { ...noItems, items: told.items }
      notes.push(`titles of items are taken from the events' column "${told.title}"`)
    }
  }
  const counts: Array<Count> = [
    { step: "events read", count: log.users.length },
    ...findings.problems,
    ...scanned.findings.problems,
    ...(scanned.repeated === 0 ? [] : [{ step: "rows that repeat an item", count: scanned.repeated }])
  ]
  const assembling = (yield* Progress.orSilent).part("assemble", 2 * log.userKeys.length, "steps of users")
  const dataset = Assemble.assemble(name, log, scanned.items, {
    filter,
    seed,
    progress: assembling.update,
    core: config.core ?? 0,
    firstOnly: false,
    malformed: [...findings.malformed.map((row) => isJoined ? joined!.origin(row) : row), ...scanned.findings.malformed]
      .slice(0, Malformed.kept),
    before: counts,
    itemTable: itemFiles !== undefined,
    ...(parts === undefined ? {} : { parts: partsOf(starts, parts) })
  })
  assembling.finish()
  const sources = [...tables.events.files, ...itemFiles?.files ?? []]
  const told = { ...dataset, sources, ...(notes.length === 0 ? {} : { notes }) }
  return hasTimes ? told : Assemble.withoutTimes(told)
}, Effect.scoped)

/** Returns the part of the split of every event. */
const partsOf = (starts: ReadonlyArray<number>, parts: ReadonlyArray<number>): Uint8Array => {
  const all = new Uint8Array(starts.at(-1)!)
  for (const [at, part] of parts.entries()) all.fill(part, starts[at]!, starts[at + 1]!)
  return all
}
