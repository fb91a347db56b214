/**
 * Tables through DuckDB, in memory: it parses, rejects rows that do not fit, and numbers users and items; what arrives
 * here are chunks of columns of numbers.
 */
import type { DuckDBConnection, DuckDBVector } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { basename, join } from "node:path"
import { AmbiguousColumn, CatalogError, MissingColumn, Unreadable } from "../../src/catalog/CatalogError.ts"
import * as EventTime from "../../src/catalog/reader/EventTime.ts"
import * as Keys from "../../src/catalog/reader/Keys.ts"
import * as Malformed from "../../src/catalog/reader/Malformed.ts"
import * as MissingWords from "../../src/catalog/reader/MissingWords.ts"
import {
  type EventColumns,
  type EventOptions,
  type EventScan,
  type ReadOptions,
  type Sample,
  TableReader
} from "../../src/catalog/reader/TableReader.ts"
import * as TimedEvents from "../../src/catalog/reader/TimedEvents.ts"
import * as Packages from "../../src/run/Packages.ts"
import * as Progress from "../../src/run/Progress.ts"
import * as RecordLines from "./RecordLines.ts"
import * as Source from "./Source.ts"

const { quote } = Source

const identifier = (name: string) => `"${name.replaceAll("\"", "\"\"")}"`

/** A number; DuckDB would take 1_000 for one. */
const numberOf = (text: string) => `CASE WHEN NOT contains(${text}, '_') THEN TRY_CAST(${text} AS DOUBLE) END`

/** A date of ISO 8601 as `EventTime` reads it; every other way of writing a time is left to `EventTime`. */
const iso = `'\\s*\\d{4}([-/])\\d{1,2}[-/]\\d{1,2}([T ]+([01]?\\d|2[0-3]):[0-5]\\d(:[0-5]\\d(\\.\\d{1,6})?)?)?` +
  `\\s?(Z|UTC|GMT|[+-]\\d{2}(:?\\d{2})?)?\\s*'`
const dateOf = (text: string) =>
  `CASE WHEN regexp_full_match(${text}, ${iso}) THEN epoch_us(TRY_CAST(${text} AS TIMESTAMPTZ)) / 1000 END`

/** A text that means no value is null. */
const presentOf = (text: string, missing: ReadonlyArray<string>) =>
  `CASE WHEN trim(${text}) NOT IN (${["", ...missing].map(quote).join(", ")}) THEN ${text} END`

/** DuckDB's names for what is wrong with a row, in words. */
const kinds: Readonly<Record<string, string>> = {
  "TOO MANY COLUMNS": "too many columns",
  "MISSING COLUMNS": "too few columns",
  "UNQUOTED VALUE": "a quote that is not closed or stands inside a cell",
  "INVALID ENCODING": Malformed.problems.encoding,
  "INVALID UNICODE": Malformed.problems.encoding,
  "LINE SIZE OVER MAXIMUM": "a line that is too long"
}
const kindOf = (type: unknown): string => kinds[String(type)] ?? String(type).toLowerCase()

const rejects = "rejected_rows"
const scans = "rejected_scans"

const drop = async (connection: DuckDBConnection): Promise<void> => {
  await connection.run(
    `DROP TABLE IF EXISTS ${rejects}; DROP TABLE IF EXISTS ${scans}; DROP TABLE IF EXISTS raw; ` +
      `DROP TABLE IF EXISTS good; DROP TABLE IF EXISTS user_keys; DROP TABLE IF EXISTS item_keys; ` +
      `DROP TABLE IF EXISTS time_texts`
  )
}

/** The text of a Parquet column: whole numbers without a fraction, lists as JSON. */
const parquetText = (name: string, type: string): string => {
  const column = identifier(name)
  return /^(DOUBLE|FLOAT)$/.test(type)
    ? `CASE WHEN isfinite(${column}) AND ${column} = trunc(${column}) AND abs(${column}) < 1e18 ` +
      `THEN CAST(CAST(${column} AS BIGINT) AS VARCHAR) WHEN isfinite(${column}) THEN CAST(${column} AS VARCHAR) END`
    : /[[(]/.test(type) && !type.startsWith("DECIMAL") && !type.startsWith("ENUM")
    ? `CAST(to_json(${column}) AS VARCHAR)`
    : `CAST(${column} AS VARCHAR)`
}

/** Names and types of the columns of a Parquet file. */
const parquetColumns = async (connection: DuckDBConnection, source: Source.Source) =>
  new Map(
    (await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${Source.expression(source, true, rejects, scans)}`))
      .getRows().map((row) => [String(row[0]), String(row[1])] as const)
  )

/** A line longer than this is beyond DuckDB's usual buffers; the second reading allows this much. */
const longestLine = 64 * 2 ** 20

/** Loads a selection of a file into the table `raw`. */
const load = async (
  connection: DuckDBConnection,
  source: Source.Source,
  wanted: ReadonlyArray<string>,
  select: (column: (name: string) => string, from: string) => string
): Promise<void> => {
  await drop(connection)
  const { layout } = source
  const types = layout === undefined ? await parquetColumns(connection, source) : undefined
  const columns = layout?.columns ?? [...types!.keys()]
  for (const name of wanted) {
    const times = columns.filter((other) => other === name).length
    if (times === 0) {
      throw new CatalogError({
        reason: new MissingColumn({ file: source.file, wanted: name, names: [name], found: [...columns] })
      })
    }
    if (times > 1) {
      throw new CatalogError({ reason: new AmbiguousColumn({ file: source.file, column: name, times }) })
    }
  }
  const column = (name: string) => {
    if (types !== undefined) return parquetText(name, types.get(name)!)
    const text = Source.columnAt(columns.indexOf(name))
    return layout!.trimmed ? `trim(${text})` : text
  }
  const create = async (longest?: number, from = source) => {
    const run = (strict: boolean) =>
      connection.run(
        `CREATE TEMP TABLE raw AS ${select(column, Source.expression(from, strict, rejects, scans, longest))}`
      )
    await drop(connection)
    try {
      await run(true)
    } catch (cause) {
      // Lines that end in LF here and in CRLF there are beyond the strict parser.
      if (!(cause as Error).message.includes("invalid state")) throw cause
      await drop(connection)
      await run(false)
    }
  }
  await create()
  if (layout === undefined) return
  const rejected = async (where = "true") => {
    const found = await connection.runAndReadAll(
      `SELECT count(DISTINCT line)::INTEGER FROM ${rejects} WHERE ${where}`
    )
    return Number(found.getRows()[0]![0])
  }
  const before = await rejected()
  if (before === 0) return
  const longest = await rejected("error_type::VARCHAR = 'LINE SIZE OVER MAXIMUM'") > 0 ? longestLine : undefined
  if (longest !== undefined) await create(longest)
  // Quotes may be escaped by backslashes where the first rows have none.
  const { escape, quote: mark } = layout
  if (mark === undefined || escape === "\\" || await rejected(`contains(csv_line, ${quote(`\\${mark}`)})`) === 0) return
  const doubled = await rejected()
  await create(longest, { ...source, layout: { ...layout, escape: "\\" } })
  if (await rejected() >= doubled) await create(longest)
}

/** Counts what DuckDB rejected and keeps the first. */
const takeRejects = async (connection: DuckDBConnection, tally: Malformed.Tally): Promise<void> => {
  // The text of a row in a file of CRLF begins with the LF of the row before it.
  const text = `rtrim(ltrim(csv_line, chr(10) || chr(13)), chr(10) || chr(13))`
  const perRow = `SELECT line, coalesce(arg_min(error_type::VARCHAR, column_idx), any_value(error_type::VARCHAR)) ` +
    `AS kind, any_value(${text}) AS text, ` +
    // A quote that is not closed swallows lines.
    `max(1 + length(${text}) - length(replace(${text}, chr(10), ''))) AS lines FROM ${rejects} GROUP BY line`
  const query = async (sql: string) => (await connection.runAndReadAll(sql)).getRows()
  const first = await query(`SELECT line, kind, text FROM (${perRow}) ORDER BY line LIMIT ${Malformed.kept}`)
  for (const [line, type, text] of first) tally.add(Number(line), kindOf(type), text)
  for (const [type, count] of await query(`SELECT kind, sum(lines)::INTEGER FROM (${perRow}) GROUP BY kind`)) {
    tally.count(kindOf(type), Number(count) - first.filter(([, other]) => other === type).length)
    tally.rows += Number(count)
  }
}

/** The lines on which rejected rows begin. */
const rejectedLines = async (connection: DuckDBConnection): Promise<ReadonlySet<number>> =>
  new Set(
    (await connection.runAndReadAll(`SELECT DISTINCT line FROM ${rejects}`)).getRows().map(([line]) => Number(line))
  )

/**
 * Tells the rows of `raw` that are malformed for what they hold. `kind` is an expression for the problem, null for a
 * good row, `value` one for what stands there.
 */
const takeBad = async (
  connection: DuckDBConnection,
  source: Source.Source,
  tally: Malformed.Tally,
  kind: string,
  value: string
): Promise<number> => {
  const query = async (sql: string) => (await connection.runAndReadAll(sql)).getRows()
  const bad = await query(
    `SELECT rowid, ${kind} AS kind, ${value} FROM raw WHERE kind IS NOT NULL ORDER BY rowid LIMIT ${Malformed.kept}`
  )
  if (bad.length === 0) return 0
  const records = bad.map(([row]) => Number(row))
  const { layout } = source
  const lines = layout === undefined
    ? records.map((record) => record + 1)
    : await RecordLines.of(source, records, { ...layout, rejected: await rejectedLines(connection) })
  for (const [at, [, problem, found]] of bad.entries()) tally.add(lines[at] ?? 0, String(problem), found)
  const counts = await query(
    `SELECT ${kind} AS kind, count(*)::INTEGER FROM raw WHERE kind IS NOT NULL GROUP BY kind ORDER BY kind`
  )
  for (const [problem, count] of counts) {
    tally.count(String(problem), Number(count) - bad.filter(([, other]) => other === problem).length)
  }
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

/** Reasons for which a row of `raw` is no event, in the order in which they are reported. */
const badEvent = ({ item, rating, time, user }: EventColumns): string =>
  `CASE WHEN u IS NULL THEN ${quote(Malformed.problems.missing(user))} ` +
  `WHEN i IS NULL THEN ${quote(Malformed.problems.missing(item))} ` +
  `WHEN t IS NULL OR NOT isfinite(t) THEN ${quote(Malformed.problems.time(Malformed.columnName(time)))} ` +
  `WHEN rt IS NOT NULL THEN ${quote(Malformed.problems.rating(rating ?? ""))} END`

/** Between a date and the clock beside it. */
const unitSeparator = "\u001f"

/**
 * Whether SQL can read the column of times as it stands in `raw`: all numbers, or all dates of ISO 8601. A column that
 * has other texts, or both, is read by `EventTime` as a whole, so that one rule decides.
 */
const isPlain = async (connection: DuckDBConnection, missing: ReadonlyArray<string>): Promise<boolean> => {
  const [[numbers, dates, others, least, most]] = (await connection.runAndReadAll(
    `SELECT count(*) FILTER (way = 0)::INTEGER, count(*) FILTER (way = 1)::INTEGER, ` +
      `count(*) FILTER (${presentOf("tt", missing)} IS NOT NULL)::INTEGER, ` +
      `min(t) FILTER (way = 0), max(t) FILTER (way = 0) FROM raw`
  )).getRows() as [[number, number, number, number | null, number | null]]
  // Digits like 20141206 beside longer ones are dates of several widths.
  const compact = (least ?? 0) >= 19_000_101 && (least ?? 0) < 21_001_232 && (most ?? 0) >= 1e11
  return others === 0 && (numbers === 0 || dates === 0) && !compact
}

/** Reads the texts in `tt` as one column and puts their times into `t`; texts that are no times stay in `tt`. */
const readTimes = async (
  connection: DuckDBConnection,
  file: string,
  time: NonNullable<EventColumns["time"]>,
  order: EventOptions["dates"]
): Promise<EventTime.Times> => {
  const texts = (await connection.runAndReadAll(
    "SELECT tt, count(*)::INTEGER FROM raw WHERE tt IS NOT NULL GROUP BY tt ORDER BY min(rowid)"
  )).getRows() as unknown as ReadonlyArray<readonly [string, number]>
  const cells = texts.map(([text]) => text.split(unitSeparator))
  const unit = EventTime.clockUnit(cells.map(([, clock]) => clock ?? ""))
  const builder = EventTime.builder({ order })
  for (const [i, [date = "", clock]] of cells.entries()) {
    builder.add(clock === undefined ? date : EventTime.joined(date, clock, unit), texts[i]![1])
  }
  const found = builder.finish()
  if (found._tag !== "Times") throw EventTime.failure(found, file, Malformed.columnName(time))
  await connection.run("CREATE TEMP TABLE time_texts (text VARCHAR, time DOUBLE)")
  const appender = await connection.createAppender("time_texts")
  for (const [i, [text]] of texts.entries()) {
    if (Number.isNaN(found.times[i]!)) continue
    appender.appendVarchar(text)
    appender.appendDouble(found.times[i]!)
    appender.endRow()
  }
  appender.closeSync()
  await connection.run("UPDATE raw SET t = time, tt = NULL FROM time_texts WHERE tt = text")
  await connection.run(`UPDATE raw SET tt = replace(tt, ${quote(unitSeparator)}, ' ') WHERE tt IS NOT NULL`)
  return found
}

const readEvents = async (
  connection: DuckDBConnection,
  source: Source.Source,
  columns: EventColumns,
  { dates, missing = MissingWords.words }: EventOptions,
  tracker: (rows: number) => Progress.Tracker
): Promise<EventScan> => {
  const { item, rating, time, user } = columns
  const timeColumns = TimedEvents.columnsOf(time)
  const loadRows = (left: "to SQL" | "to EventTime") =>
    load(
      connection,
      source,
      [user, item, ...timeColumns, ...(rating === undefined ? [] : [rating])],
      (column, from) => {
        const present = (name: string) => presentOf(column(name), missing)
        const timeText = timeColumns.length === 0
          ? "NULL::VARCHAR"
          : timeColumns.map(column).join(` || ${quote(unitSeparator)} || `)
        const ratingText = rating === undefined ? "NULL::VARCHAR" : present(rating)
        // What stands where a user or an item is missing, for messages.
        const absent = `CASE WHEN u IS NULL THEN ${column(user)} WHEN i IS NULL THEN ${column(item)} END`
        const parts = `SELECT ${present(user)} AS u, ${present(item)} AS i, ${timeText} AS tx, ${ratingText} AS rx, ` +
          `${absent} AS mx FROM ${from}`
        const [number, date] = time === undefined
          ? ["0::DOUBLE", "NULL::DOUBLE"]
          : left === "to SQL"
          ? [numberOf("tx"), dateOf("tx")]
          : ["NULL::DOUBLE", "NULL::DOUBLE"]
        const read = `SELECT *, ${number} AS n, CASE WHEN n IS NULL THEN ${date} END AS d, ` +
          `${numberOf("replace(rx, ',', '.')")} AS r FROM (${parts})`
        // A text is kept only where it is no number: ten million of them would be hundreds of megabytes.
        return `SELECT u, i, mx, coalesce(n, d) AS t, ` +
          `CASE WHEN isfinite(n) THEN 0 WHEN d IS NOT NULL THEN 1 END::TINYINT AS way, ` +
          `CASE WHEN way IS NULL THEN tx END AS tt, r, CASE WHEN r IS NULL OR NOT isfinite(r) THEN rx END AS rt ` +
          `FROM (${read})`
      }
    )
  await loadRows(timeColumns.length > 1 ? "to EventTime" : "to SQL")
  let times: EventTime.Times | undefined
  if (time !== undefined && (timeColumns.length > 1 || !(await isPlain(connection, missing)))) {
    if (timeColumns.length === 1) await loadRows("to EventTime")
    times = await readTimes(connection, source.file, time, dates)
  }
  const query = async (sql: string) => (await connection.runAndReadAll(sql)).getRows()
  const tally = new Malformed.Tally(source.file)
  const [[rows]] = (await query("SELECT count(*)::INTEGER FROM raw")) as [[number]]
  tally.rows += rows
  if (source.layout !== undefined) await takeRejects(connection, tally)
  const bad = await takeBad(
    connection,
    source,
    tally,
    badEvent(columns),
    "CASE WHEN u IS NOT NULL AND i IS NOT NULL THEN coalesce(tt, rt) ELSE mx END"
  )
  const length = rows - bad
  const log = {
    users: new Int32Array(length),
    items: new Int32Array(length),
    times: new Float64Array(length),
    ...(rating === undefined ? {} : { ratings: new Float64Array(length) })
  }
  const scan = {
    ...tally.findings,
    notes: source.kind.notes,
    ...(times?.order === undefined ? {} : { dates: times.order })
  }
  if (length === 0) return { log: { userKeys: [], itemKeys: [], ...log }, ...scan }
  if (bad > 0) {
    await connection.run(`CREATE TEMP TABLE good AS SELECT u, i, t, r FROM raw WHERE ${badEvent(columns)} IS NULL`)
    await connection.run("DROP TABLE raw; ALTER TABLE good RENAME TO raw")
  }
  for (const [table, text] of [["user_keys", "u"], ["item_keys", "i"]] as const) {
    await connection.run(
      `CREATE TEMP TABLE ${table} AS SELECT ${text} AS key, (row_number() OVER (ORDER BY min(rowid)) - 1)::INTEGER ` +
        `AS number FROM raw GROUP BY ${text}`
    )
  }
  const result = await connection.stream(
    `SELECT raw.rowid::INTEGER, user_keys.number, item_keys.number, t, coalesce(r, 'NaN'::DOUBLE) FROM raw ` +
      `JOIN user_keys ON u = user_keys.key JOIN item_keys ON i = item_keys.key`
  )
  const progress = tracker(length)
  for (let taken = 0; taken < length;) {
    const chunk = await result.fetchChunk()
    const count = chunk?.rowCount ?? 0
    if (chunk === null || count === 0) throw new Error(`only ${taken} of ${length} rows arrived`)
    const [rows, users, items, times, ratings] = [0, 1, 2, 3, 4].map((c) => numbers(chunk.getColumnVector(c)))
    // A join gives the rows in any order.
    for (let k = 0; k < count; k++) {
      const row = rows![k]!
      log.users[row] = users![k]!
      log.items[row] = items![k]!
      log.times[row] = time === undefined ? row : times![k]!
      if (log.ratings !== undefined) log.ratings[row] = ratings![k]!
    }
    taken += count
    progress.update(taken)
  }
  progress.finish()
  const keys = async (table: string) => {
    const found = (await query(`SELECT key FROM ${table} ORDER BY number`)).map(([key]) => String(key))
    return Keys.whole(found)
  }
  return { log: { userKeys: await keys("user_keys"), itemKeys: await keys("item_keys"), ...log }, ...scan }
}

/** The values of a column of numbers that has no nulls. */
const numbers = (vector: DuckDBVector): Int32Array | Float64Array =>
  (vector as unknown as { readonly items: Int32Array | Float64Array }).items

const readTable = async (
  connection: DuckDBConnection,
  source: Source.Source,
  columns: ReadonlyArray<string>,
  { distinct = false, key, missing = MissingWords.words }: ReadOptions
) => {
  await load(
    connection,
    source,
    [...new Set(columns)],
    (column, from) => {
      const cells = columns.map((name, i) =>
        `${name === key ? presentOf(column(name), missing) : column(name)} AS r${i}`
      )
      const absent = key === undefined
        ? []
        : [`CASE WHEN r${columns.indexOf(key)} IS NULL THEN ${column(key)} END AS mx`]
      return `SELECT ${[...cells, ...absent].join(", ")} FROM ${from}`
    }
  )
  const tally = new Malformed.Tally(source.file)
  if (source.layout !== undefined) await takeRejects(connection, tally)
  const column = key === undefined ? undefined : `r${columns.indexOf(key)}`
  const bad = column === undefined ? 0 : await takeBad(
    connection,
    source,
    tally,
    `CASE WHEN ${column} IS NULL THEN ${quote(Malformed.problems.missing(key!))} END`,
    "mx"
  )
  const [[all]] = (await connection.runAndReadAll("SELECT count(*)::INTEGER FROM raw")).getRows() as [[number]]
  tally.rows += all
  const where = column === undefined || bad === 0 ? "" : ` WHERE ${column} IS NOT NULL`
  const names = columns.map((_, i) => `r${i}`).join(", ")
  const select = distinct
    ? `SELECT ${names}, count(*)::VARCHAR FROM raw${where} GROUP BY ALL ORDER BY min(rowid)`
    : `SELECT ${names} FROM raw${where}`
  const rows = (await connection.runAndReadAll(select)).getRows() as ReadonlyArray<ReadonlyArray<string | null>>
  return { file: source.file, columns, rows, findings: { ...tally.findings, notes: source.kind.notes } }
}

const sampleOf = async (connection: DuckDBConnection, source: Source.Source): Promise<Sample> => {
  const about = { what: source.kind.what, notes: source.kind.notes }
  if (source.layout !== undefined) {
    const { columns, separator } = source.layout
    const rows = source.sampled!.separator === separator && columns.length === source.sampled!.columns.length
      ? source.sampled!.rows
      : []
    return { columns, rows, header: source.sampled!.header, ...about }
  }
  const types = await parquetColumns(connection, source)
  const names = [...types.keys()]
  const select = names.map((name) => parquetText(name, types.get(name)!)).join(", ")
  const rows = await connection.runAndReadAll(
    `SELECT ${select} FROM ${Source.expression(source, true, rejects, scans)} LIMIT 50`
  )
  return { columns: names, rows: rows.getRows() as Sample["rows"], header: true, ...about }
}

/**
 * Shows how far a reading is. Its statements are not known beforehand: each counts as half of the work that is left, so
 * the share never falls.
 */
const followed = async <A>(
  connection: DuckDBConnection,
  tracker: Progress.Tracker,
  read: () => Promise<A>
): Promise<A> => {
  let [rest, last] = [100, 0]
  const timer = setInterval(() => {
    // It is negative between statements.
    const { percentage } = connection.progress
    if (percentage < 0) return
    if (percentage < last) rest /= 2
    last = percentage
    tracker.update(Math.floor(100 - rest + (rest * last) / 200))
  }, 250)
  try {
    return await read()
  } finally {
    clearInterval(timer)
    tracker.finish()
  }
}

/** Memory limit of DuckDB; keys of larger files wait on the disk. Every thread has buffers of its own. */
const memory = "512MB"
const threads = 4

/** Provides the table reader over one DuckDB in memory, closed with the Scope. */
export const layer: Layer.Layer<TableReader, CatalogError, FileSystem.FileSystem> = Layer.effect(
  TableReader,
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const unreadable = (path: string) => (cause: unknown) =>
      cause instanceof CatalogError ? cause : new CatalogError({
        reason: new Unreadable({
          path,
          detail: (cause instanceof Error ? cause.message : String(cause)).split("\n").slice(0, 3).join(" ")
        })
      })
    const spill = yield* Effect.acquireRelease(
      // Without a folder for what exceeds the memory, such tables fail and all others are read.
      Effect.try(() => mkdtempSync(join(tmpdir(), "sidereal-duckdb-"))).pipe(Effect.orElseSucceed(() => "")),
      (folder) => Effect.sync(() => folder === "" ? undefined : rmSync(folder, { recursive: true, force: true }))
    )
    const connection = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          // Loaded here, so that an installation without the package fails with a typed error.
          const { DuckDBInstance } = await import("@duckdb/node-api")
          const connection = await (await DuckDBInstance.create(":memory:")).connect()
          await connection.run(`SET memory_limit = '${memory}'; SET temp_directory = ${quote(spill)}`)
          await connection.run(`SET threads = ${Math.min(threads, availableParallelism())}`)
          await connection.run(
            "SET enable_progress_bar = true; SET enable_progress_bar_print = false; SET progress_bar_time = 0"
          )
          // Dates that name no zone are UTC, wherever the machine stands.
          await connection.run("SET TimeZone = 'UTC'")
          return connection
        },
        catch: (cause) => unreadable("tables")(Packages.explain(cause))
      }),
      (connection) => Effect.sync(() => connection.closeSync())
    )
    // The tables of a reading have fixed names, so one reads at a time, and none before an interrupted one is put away.
    let last: Promise<unknown> = Promise.resolve()
    const reading = Effect.fnUntraced(function*<A>(
      path: string,
      read: (progress: Progress.Progress["Service"]) => Promise<A>
    ): Effect.fn.Return<A, CatalogError> {
      const progress = yield* Progress.orSilent
      return yield* Effect.tryPromise({
        try: (signal) => {
          const interrupt = () => connection.interrupt()
          const result = last.then(async () => {
            signal.throwIfAborted()
            signal.addEventListener("abort", interrupt)
            try {
              return await followed(
                connection,
                progress.part(`read ${basename(path)}`, 100, "percent"),
                () => read(progress)
              )
            } finally {
              signal.removeEventListener("abort", interrupt)
              await drop(connection)
            }
          })
          last = result.catch(() => {})
          return result
        },
        catch: unreadable(path)
      })
    })
    const opener = Source.opener(spill)
    const open = (...asked: Parameters<typeof opener>) =>
      opener(...asked).pipe(Effect.provideService(FileSystem.FileSystem, fileSystem))
    return TableReader.of({
      sample: Effect.fn("TableReader.sample")(function*(path, form) {
        const source = yield* open(path, form, "head")
        return yield* reading(path, () => sampleOf(connection, source))
      }),
      read: Effect.fn("TableReader.read")(function*(path, columns, options = {}) {
        const source = yield* open(path, options.form, "whole")
        return yield* reading(path, () => readTable(connection, source, columns, options))
      }),
      events: Effect.fn("TableReader.events")(function*(path, columns, options = {}) {
        const source = yield* open(path, options.form, "whole")
        return yield* reading(
          path,
          (progress) =>
            readEvents(connection, source, columns, options, (rows) => progress.start("events", rows, "rows"))
        )
      })
    })
  })
)
