/**
 * Tables through DuckDB, in memory: it parses, rejects rows that do not fit, and numbers users and items; what arrives
 * here are chunks of columns of numbers.
 */
import { type DuckDBConnection, DuckDBInstance, type DuckDBVector } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { closeSync, createReadStream, mkdtempSync, openSync, readSync, rmSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { constants, createGunzip, gunzipSync } from "node:zlib"
import { AmbiguousColumn, CatalogError, MissingColumn, Unreadable } from "../../src/catalog/CatalogError.ts"
import * as Malformed from "../../src/catalog/reader/Malformed.ts"
import {
  type EventColumns,
  type EventScan,
  type ReadOptions,
  type TableForm,
  TableReader
} from "../../src/catalog/reader/TableReader.ts"
import { Progress, type Tracker } from "../../src/run/Progress.ts"
import * as RecordLines from "./RecordLines.ts"

const quote = (text: string) => `'${text.replaceAll("'", "''")}'`
const identifier = (name: string) => `"${name.replaceAll("\"", "\"\"")}"`
const isParquet = (path: string) => path.toLowerCase().endsWith(".parquet")
const isGzip = (path: string) => path.toLowerCase().endsWith(".gz")
const isAtomic = (path: string) => /\.(inter|item)(\.gz)?$/i.test(path)

/** Dates besides ISO 8601, as of `EventTime`. */
const dateForms = [
  "%m/%d/%Y %H:%M:%S",
  "%m/%d/%Y %H:%M",
  "%m/%d/%Y",
  "%m %d, %Y",
  "%b %d, %Y",
  "%d %b %Y",
  "%d-%b-%Y",
  "%a, %d %b %Y %H:%M:%S GMT"
]
/** A number; DuckDB would take 1_000 for one. */
const numberOf = (text: string) => `CASE WHEN NOT contains(${text}, '_') THEN TRY_CAST(${text} AS DOUBLE) END`
const timeOf = (text: string) =>
  `coalesce(${numberOf(text)}, epoch_us(TRY_CAST(${text} AS TIMESTAMPTZ)) / 1000, ` +
  `epoch_us(try_strptime(${text}, [${dateForms.map(quote).join(", ")}])) / 1000)`

/** An error of reading, with the mend where the file is packed. */
const damaged = (path: string, cause: Error): Error =>
  isGzip(path) ? new Error(`${cause.message}; the gzip is damaged or cut off, fetch it anew`) : cause

/** The first bytes of a file, unpacked. */
const head = (path: string): Buffer => {
  const file = openSync(path, "r")
  try {
    const bytes = Buffer.alloc(65_536)
    const start = bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0))
    return isGzip(path) ? gunzipSync(start, { finishFlush: constants.Z_SYNC_FLUSH }) : start
  } catch (cause) {
    throw damaged(path, cause as Error)
  } finally {
    closeSync(file)
  }
}

/** DuckDB reads a damaged or shortened gzip as far as it goes and says nothing, so it is unpacked once to see. */
const checkGzip = (path: string, signal: AbortSignal): Promise<void> =>
  pipeline(
    createReadStream(path, { highWaterMark: 1 << 20 }),
    createGunzip({ chunkSize: 1 << 20 }),
    new Writable({ write: (_chunk, _encoding, done) => done() }),
    { signal }
  ).catch((cause: Error) => {
    throw damaged(path, cause)
  })

const cells = (line: string, separator: string, quoted: boolean): ReadonlyArray<string> => {
  if (!quoted) return line.split(separator)
  const found: Array<string> = []
  let cell = ""
  let inQuotes = false
  for (let i = 0; i < line.length; i++) {
    if (line[i] === "\"") {
      if (inQuotes && line[i + 1] === "\"") cell += line[++i]!
      else inQuotes = !inQuotes
    } else if (!inQuotes && line.startsWith(separator, i)) {
      found.push(cell)
      cell = ""
      i += separator.length - 1
    } else cell += line[i]!
  }
  return [...found, cell]
}

/** How a text table is written. */
interface Layout extends TableForm {
  readonly quoted: boolean
  /** Whether the first line names the columns. */
  readonly header: boolean
}

/**
 * The layout that the header line shows: the separator that it holds most of. DuckDB's own guess would rather take a
 * later line for the header than report a row that does not fit it.
 */
const layoutOf = (path: string): Layout => {
  const bytes = head(path)
  if (bytes.length === 0) throw new Error("the file is empty")
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new Error("the file is UTF-16; save it as UTF-8")
  }
  const line = bytes.toString("utf8").replace(/^\ufeff/, "").split(/\r\n|\n|\r/, 1)[0]!
  if (line.includes("\u0000")) throw new Error("the header holds zero bytes; this is no text table")
  const quoted = !isAtomic(path)
  const separator = isAtomic(path) ? "\t" : [",", "\t", ";", "|"].map((separator) => ({
    separator,
    count: cells(line, separator, quoted).length
  })).toSorted((a, b) => b.count - a.count)[0]!.separator
  return { separator, quoted, header: true, columns: cells(line, separator, quoted) }
}

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

/** DuckDB's names for columns that may repeat. */
const columnAt = (index: number) => `c${index}`

const parsed = (path: string, layout: Layout, strict: boolean): string => {
  const columns = layout.columns.map((_, i) => `${columnAt(i)}: 'VARCHAR'`).join(", ")
  const mark = layout.quoted ? quote("\"") : "''"
  return `read_csv(${quote(path)}, auto_detect = false, header = ${layout.header}, delim = ${
    quote(layout.separator)
  }, ` +
    `quote = ${mark}, escape = ${mark}, columns = {${columns}}, encoding = '${layout.encoding ?? "utf-8"}', ` +
    `strict_mode = ${strict}, store_rejects = true, rejects_table = ${quote(rejects)}, rejects_scan = ${quote(scans)})`
}

const drop = async (connection: DuckDBConnection): Promise<void> => {
  await connection.run(
    `DROP TABLE IF EXISTS ${rejects}; DROP TABLE IF EXISTS ${scans}; DROP TABLE IF EXISTS raw; ` +
      `DROP TABLE IF EXISTS good; DROP TABLE IF EXISTS user_keys; DROP TABLE IF EXISTS item_keys`
  )
}

/** Loads a selection of a file into the table `raw`; returns the layout, absent for Parquet. */
const load = async (
  connection: DuckDBConnection,
  path: string,
  form: TableForm | undefined,
  wanted: ReadonlyArray<string>,
  select: (column: (name: string) => string) => string,
  signal: AbortSignal
): Promise<Layout | undefined> => {
  const matches = path.includes("*")
    ? (await connection.runAndReadAll(`SELECT file FROM glob(${quote(path)}) ORDER BY file`)).getRows().map(String)
    : [path]
  if (matches.length === 0) throw new Error("no file fits the pattern")
  for (const file of matches) if (isGzip(file)) await checkGzip(file, signal)
  await drop(connection)
  const create = (column: (name: string) => string, source: string) =>
    connection.run(`CREATE TEMP TABLE raw AS SELECT ${select(column)} FROM ${source}`)
  if (isParquet(matches[0]!)) {
    await create((name) => `CAST(${identifier(name)} AS VARCHAR)`, `read_parquet(${quote(path)})`)
    return undefined
  }
  const layout = form === undefined ? layoutOf(matches[0]!) : { ...form, quoted: false, header: false }
  const column = (name: string) => columnAt(layout.columns.indexOf(name))
  for (const name of wanted) {
    const times = layout.columns.filter((other) => other === name).length
    if (times === 0) {
      throw new CatalogError({
        reason: new MissingColumn({ file: path, wanted: name, names: [name], found: [...layout.columns] })
      })
    }
    if (times > 1) {
      throw new CatalogError({ reason: new AmbiguousColumn({ file: path, column: name, times }) })
    }
  }
  try {
    await create(column, parsed(path, layout, true))
  } catch (cause) {
    // Lines that end in LF here and in CRLF there are beyond the strict parser.
    if (!(cause as Error).message.includes("invalid state")) throw cause
    await drop(connection)
    await create(column, parsed(path, layout, false))
  }
  return layout
}

/** Counts what DuckDB rejected and keeps the first. */
const takeRejects = async (connection: DuckDBConnection, tally: Malformed.Tally): Promise<void> => {
  const perRow = `SELECT s.file_path AS file, e.line AS line, arg_min(e.error_type::VARCHAR, e.column_idx) AS kind, ` +
    `any_value(e.csv_line) AS text, ` +
    // A quote that is not closed swallows lines.
    `max(1 + length(rtrim(e.csv_line, chr(10))) - length(replace(rtrim(e.csv_line, chr(10)), chr(10), ''))) AS lines ` +
    `FROM ${rejects} e JOIN ${scans} s USING (scan_id, file_id) GROUP BY ALL`
  const query = async (sql: string) => (await connection.runAndReadAll(sql)).getRows()
  const first = await query(
    `SELECT file, line, kind, text FROM (${perRow}) ORDER BY file, line LIMIT ${Malformed.kept}`
  )
  for (const [file, line, type, text] of first) tally.add(Number(line), kindOf(type), text, String(file))
  for (const [type, count] of await query(`SELECT kind, sum(lines)::INTEGER FROM (${perRow}) GROUP BY kind`)) {
    tally.count(kindOf(type), Number(count) - first.filter(([, , other]) => other === type).length)
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
  path: string,
  layout: Layout | undefined,
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
  const lines = layout === undefined
    ? records.map((record) => record + 1)
    : await RecordLines.of(path, records, {
      skip: layout.header ? 1 : 0,
      quoted: layout.quoted,
      rejected: await rejectedLines(connection)
    })
  for (const [at, [, problem, found]] of bad.entries()) tally.add(lines[at] ?? 0, String(problem), found)
  const counts = await query(
    `SELECT ${kind} AS kind, count(*)::INTEGER FROM raw WHERE kind IS NOT NULL GROUP BY kind ORDER BY kind`
  )
  for (const [problem, count] of counts) {
    tally.count(String(problem), Number(count) - bad.filter(([, other]) => other === problem).length)
  }
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

/** What makes a row of `raw` no event, in the order in which it is told. */
const badEvent = ({ item, rating, time, user }: EventColumns): string =>
  `CASE WHEN u IS NULL THEN ${quote(Malformed.problems.missing(user))} ` +
  `WHEN i IS NULL THEN ${quote(Malformed.problems.missing(item))} ` +
  `WHEN t IS NULL OR NOT isfinite(t) THEN ${quote(Malformed.problems.time(time ?? ""))} ` +
  `WHEN bad IS NOT NULL THEN ${quote(Malformed.problems.rating(rating ?? ""))} END`

const readEvents = async (
  connection: DuckDBConnection,
  path: string,
  columns: EventColumns,
  form: TableForm | undefined,
  tracker: (rows: number) => Tracker,
  signal: AbortSignal
): Promise<EventScan> => {
  const { item, rating, time, user } = columns
  const layout = await load(
    connection,
    path,
    form,
    [user, item, time, rating].filter((name) => name !== undefined),
    (column) => {
      const text = (name: string) => `nullif(${column(name)}, '')`
      const ratingText = rating === undefined ? "NULL::VARCHAR" : text(rating)
      const timeText = time === undefined ? "NULL::VARCHAR" : column(time)
      // A text is kept only where it is no number: ten million of them would be hundreds of megabytes.
      return [
        `${text(user)} AS u`,
        `${text(item)} AS i`,
        `${time === undefined ? "0::DOUBLE" : timeOf(timeText)} AS t`,
        `(${numberOf(ratingText)})::FLOAT AS r`,
        `CASE WHEN t IS NULL OR NOT isfinite(t) THEN ${timeText} WHEN r IS NULL OR NOT isfinite(r) THEN ${ratingText} END AS bad`
      ].join(", ")
    },
    signal
  )
  const query = async (sql: string) => (await connection.runAndReadAll(sql)).getRows()
  const tally = new Malformed.Tally(path)
  const [[rows]] = (await query("SELECT count(*)::INTEGER FROM raw")) as [[number]]
  tally.rows += rows
  if (layout !== undefined) await takeRejects(connection, tally)
  const bad = await takeBad(
    connection,
    path,
    layout,
    tally,
    badEvent(columns),
    "CASE WHEN u IS NOT NULL AND i IS NOT NULL THEN bad END"
  )
  const length = rows - bad
  const log = {
    users: new Int32Array(length),
    items: new Int32Array(length),
    times: new Float64Array(length),
    ...(rating === undefined ? {} : { ratings: new Float32Array(length) })
  }
  if (length === 0) return { log: { userKeys: [], itemKeys: [], ...log }, ...tally.findings }
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
    `SELECT raw.rowid::INTEGER, user_keys.number, item_keys.number, t, coalesce(r, 'NaN'::FLOAT) FROM raw ` +
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
  const keys = async (table: string) =>
    (await query(`SELECT key FROM ${table} ORDER BY number`)).map(([key]) => String(key))
  return {
    log: { userKeys: await keys("user_keys"), itemKeys: await keys("item_keys"), ...log },
    ...tally.findings
  }
}

/** The values of a column of numbers that has no nulls. */
const numbers = (vector: DuckDBVector): Int32Array | Float32Array | Float64Array =>
  (vector as unknown as { readonly items: Int32Array | Float32Array | Float64Array }).items

const readTable = async (
  connection: DuckDBConnection,
  path: string,
  columns: ReadonlyArray<string>,
  { form, key }: ReadOptions,
  signal: AbortSignal
) => {
  const layout = await load(
    connection,
    path,
    form,
    [...new Set(columns)],
    (column) => columns.map((name, i) => `${column(name)} AS r${i}`).join(", "),
    signal
  )
  const tally = new Malformed.Tally(path)
  if (layout !== undefined) await takeRejects(connection, tally)
  const column = key === undefined ? undefined : `r${columns.indexOf(key)}`
  const bad = column === undefined ? 0 : await takeBad(
    connection,
    path,
    layout,
    tally,
    `CASE WHEN ${column} IS NULL OR ${column} = '' THEN ${quote(Malformed.problems.missing(key!))} END`,
    "''"
  )
  const where = column === undefined || bad === 0 ? "" : ` WHERE ${column} <> ''`
  const rows = (await connection.runAndReadAll(`FROM raw${where}`)).getRows() as ReadonlyArray<
    ReadonlyArray<string | null>
  >
  tally.rows += rows.length + bad
  return { file: path, columns, rows, findings: tally.findings }
}

/** What DuckDB may hold; keys of larger files wait on the disk. Every thread has buffers of its own. */
const memory = "512MB"
const threads = 4

/** The layer. */
export const layer: Layer.Layer<TableReader, CatalogError> = Layer.effect(
  TableReader,
  Effect.gen(function*() {
    const unreadable = (path: string) => (cause: unknown) =>
      cause instanceof CatalogError ? cause : new CatalogError({
        reason: new Unreadable({
          path,
          detail: (cause instanceof Error ? cause.message : String(cause)).split("\n").slice(0, 3).join(" ")
        })
      })
    const spill = yield* Effect.acquireRelease(
      Effect.try({ try: () => mkdtempSync(join(tmpdir(), "sidereal-duckdb-")), catch: unreadable(tmpdir()) }),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const connection = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          const connection = await (await DuckDBInstance.create(":memory:")).connect()
          await connection.run(`SET memory_limit = '${memory}'; SET temp_directory = ${quote(spill)}`)
          await connection.run(`SET threads = ${Math.min(threads, availableParallelism())}`)
          // Dates that name no zone are UTC, wherever the machine stands.
          await connection.run("SET TimeZone = 'UTC'")
          return connection
        },
        catch: unreadable("DuckDB")
      }),
      (connection) => Effect.sync(() => connection.closeSync())
    )
    // The tables of a reading have fixed names, so one reads at a time, and none before an interrupted one is put away.
    let last: Promise<unknown> = Promise.resolve()
    const reading = <A>(path: string, read: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, CatalogError> =>
      Effect.tryPromise({
        try: (signal) => {
          const interrupt = () => connection.interrupt()
          const result = last.then(async () => {
            signal.throwIfAborted()
            signal.addEventListener("abort", interrupt)
            try {
              return await read(signal)
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
    return TableReader.of({
      columns: Effect.fn("TableReader.columns")((path) =>
        reading(path, async () => {
          if (!isParquet(path)) return layoutOf(path).columns
          const rows = await connection.runAndReadAll(`DESCRIBE SELECT * FROM read_parquet(${quote(path)})`)
          return rows.getRows().map((row) => String(row[0]))
        })
      ),
      read: Effect.fn("TableReader.read")((path, columns, options = {}) =>
        reading(path, (signal) => readTable(connection, path, columns, options, signal))
      ),
      events: Effect.fn("TableReader.events")(function*(path, columns, form) {
        const progress = Option.getOrElse(yield* Effect.serviceOption(Progress), () => ({
          start: (): Tracker => ({ update: () => {}, finish: () => {} })
        }))
        return yield* reading(
          path,
          (signal) =>
            readEvents(connection, path, columns, form, (rows) => progress.start("events", rows, "rows"), signal)
        )
      })
    })
  })
)
