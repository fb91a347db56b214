/**
 * Tables through DuckDB: it parses CSV and Parquet, streams what is asked for and sets aside the rows it cannot split.
 *
 * JSON lines are read as lines and parsed here, so that one broken line costs that line; lines that are Python literals
 * (Amazon 2014) are understood as well.
 */
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { closeSync, createReadStream, existsSync, openSync, readSync, statSync } from "node:fs"
import { pipeline } from "node:stream/promises"
import { constants, createGunzip, gunzipSync } from "node:zlib"
import { CatalogError, Unreadable } from "../../src/catalog/CatalogError.ts"
import { type Malformed } from "../../src/catalog/Dataset.ts"
import * as EventLog from "../../src/catalog/EventLog.ts"
import * as PythonLiteral from "../../src/catalog/PythonLiteral.ts"
import { type EventScan, type TableForm, TableReader } from "../../src/catalog/TableReader.ts"

const quote = (text: string) => `'${text.replaceAll("'", "''")}'`
const identifier = (name: string) => `"${name.replaceAll("\"", "\"\"")}"`

/** The first bytes of a file, unpacked. */
const head = (path: string): string => {
  const file = openSync(path, "r")
  try {
    const bytes = Buffer.alloc(65_536)
    const start = bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0))
    return (path.endsWith(".gz") ? gunzipSync(start, { finishFlush: constants.Z_SYNC_FLUSH }) : start).toString("utf8")
  } finally {
    closeSync(file)
  }
}

/**
 * The separator that the header line holds most of. DuckDB's own guess would rather take a later line for the header
 * than report a row that does not fit it.
 */
const separatorOf = (path: string): string => {
  const line = head(path).split(/\r?\n/, 1)[0] ?? ""
  return [",", "\t", ";", "|"].map((separator) => ({ separator, count: line.split(separator).length }))
    .toSorted((a, b) => b.count - a.count)[0]!.separator
}

const plainName = (path: string) => path.toLowerCase().replace(/\.gz$/, "")
const isJson = (path: string) => /\.(jsonl|ndjson|json)$/.test(plainName(path))
const isParquet = (path: string) => plainName(path).endsWith(".parquet")

const lenient = "ignore_errors = true, store_rejects = true, rejects_limit = 0"

/** What DuckDB reads the file by. */
const source = (path: string, form: TableForm | undefined): string => {
  if (isParquet(path)) return `read_parquet(${quote(path)})`
  if (form !== undefined) {
    const columns = form.columns.map((name) => `${quote(name)}: 'VARCHAR'`).join(", ")
    return `read_csv(${quote(path)}, header = false, auto_detect = false, columns = {${columns}}, delim = ${
      quote(form.separator)
    }, quote = '', escape = '', null_padding = true${
      form.encoding === undefined ? "" : `, encoding = ${quote(form.encoding)}`
    }, ${lenient})`
  }
  const shape = path.includes("*") ? "" : `, delim = ${quote(separatorOf(path))}, quote = '"', escape = '"', skip = 0`
  return `read_csv(${quote(path)}, header = true, all_varchar = true, null_padding = false${shape}, ${lenient})`
}

/** Lines of a file as they are, whatever they hold. */
const lines = (path: string): string =>
  `SELECT line FROM read_csv(${quote(path)}, header = false, auto_detect = false, columns = {'line': 'VARCHAR'}, ` +
  `delim = '\u0001', quote = '', escape = '', max_line_size = 33554432, ${lenient})`

const shown = 5

/** Counts problems by kind and keeps the first of them. */
const tally = (file: string) => {
  const counts = new Map<string, number>()
  const first: Array<Malformed> = []
  return {
    add: (line: number, problem: string, value: string) => {
      counts.set(problem, (counts.get(problem) ?? 0) + 1)
      if (first.length < shown) {
        first.push({ file, line, problem, value: value.length > 120 ? `${value.slice(0, 117)}...` : value })
      }
    },
    result: () => ({
      problems: [...counts].map(([problem, count]) => ({ step: `rows left out: ${problem}`, count })),
      malformed: first.toSorted((a, b) => a.line - b.line)
    })
  }
}

const parseTime = (text: string): number => {
  const number = Number(text)
  if (text.trim() !== "" && Number.isFinite(number)) return number
  return Date.parse(text)
}

/** An object of a line of JSON, or of Python. */
const parseLine = (line: string): Record<string, unknown> | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    const value = line.trimStart().startsWith("{") ? PythonLiteral.tryParse(line) : undefined
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  }
  return undefined
}

const asText = (value: unknown): string | null =>
  value === undefined || value === null ? null : typeof value === "string" ? value : JSON.stringify(value)

/** A gzip that breaks off may look whole to a reader that stops at the last full line. */
const checkGzip = async (path: string): Promise<void> => {
  if (!path.endsWith(".gz") || path.includes("*")) return
  await pipeline(createReadStream(path), createGunzip(), async (chunks) => {
    for await (const _ of chunks) {
      // Only the end matters.
    }
  })
}

/** Rows chunk by chunk. */
const forEachRow = async (
  connection: DuckDBConnection,
  sql: string,
  use: (columns: ReadonlyArray<ReadonlyArray<unknown>>, rows: number) => void
): Promise<void> => {
  const result = await connection.stream(sql)
  while (true) {
    const chunk = await result.fetchChunk()
    if (chunk === null || chunk.rowCount === 0) return
    use(Array.from({ length: chunk.columnCount }, (_, column) => chunk.getColumnValues(column)), chunk.rowCount)
  }
}

/** Rows that DuckDB could not split into columns since the last call. */
const takeRejects = async (
  connection: DuckDBConnection,
  use: (line: number, problem: string, text: string) => void
) => {
  const tables = await connection.runAndReadAll(
    "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors' AND temporary"
  )
  if (Number(tables.getRows()[0]![0]) === 0) return
  const reader = await connection.runAndReadAll(
    "SELECT line, any_value(error_type), any_value(csv_line) FROM reject_errors GROUP BY line ORDER BY line"
  )
  const names: Readonly<Record<string, string>> = {
    "TOO MANY COLUMNS": "too many columns",
    "MISSING COLUMNS": "too few columns",
    "UNQUOTED VALUE": "a quote that does not close",
    "INVALID ENCODING": "bytes that are not UTF-8",
    "INVALID UNICODE": "bytes that are not UTF-8",
    "LINE SIZE OVER MAXIMUM": "a line that is too long"
  }
  for (const [line, kind, text] of reader.getRows()) {
    use(Number(line), names[String(kind)] ?? String(kind).toLowerCase(), String(text ?? ""))
  }
  await connection.run("DROP TABLE reject_errors")
  await connection.run("DROP TABLE IF EXISTS reject_scans")
}

/** The layer. */
export const layer: Layer.Layer<TableReader, CatalogError> = Layer.effect(
  TableReader,
  Effect.gen(function*() {
    const unreadable = (path: string) => (cause: unknown) =>
      new CatalogError({
        reason: new Unreadable({
          path,
          detail: (cause instanceof Error ? cause.message : String(cause)).split("\n").slice(0, 3).join(" ")
        })
      })
    const connection = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => (await DuckDBInstance.create(":memory:")).connect(),
        catch: unreadable("DuckDB")
      }),
      (connection) => Effect.sync(() => connection.closeSync())
    )
    const attempt = <A>(path: string, work: () => Promise<A>) =>
      Effect.tryPromise({
        try: async () => {
          if (!path.includes("*")) {
            if (!existsSync(path)) throw new Error("no such file")
            if (statSync(path).size === 0) throw new Error("the file is empty")
            await checkGzip(path)
          }
          return await work()
        },
        catch: unreadable(path)
      })

    const jsonKeys = (path: string): ReadonlyArray<string> => {
      const keys = new Set<string>()
      for (const line of head(path).split("\n").slice(0, 200)) {
        const row = parseLine(line)
        if (row !== undefined) { for (const key of Object.keys(row)) keys.add(key) }
      }
      return [...keys]
    }

    const columns = Effect.fn("TableReader.columns")(function*(path: string) {
      return yield* attempt(path, async () => {
        if (isJson(path)) return jsonKeys(path)
        const reader = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${source(path, undefined)}`)
        return reader.getRows().map((row) => String(row[0]))
      })
    })

    return TableReader.of({
      columns,
      read: Effect.fn("TableReader.read")(function*(path, wanted, form) {
        return yield* attempt(path, async () => {
          const rows: Array<ReadonlyArray<string | null>> = []
          if (isJson(path)) {
            const names = wanted ?? jsonKeys(path)
            await forEachRow(connection, lines(path), ([text], count) => {
              for (let r = 0; r < count; r++) {
                const row = parseLine(String(text![r] ?? ""))
                if (row !== undefined) rows.push(names.map((name) => asText(row[name])))
              }
            })
            return { file: path, columns: names, rows }
          }
          const select = wanted === undefined
            ? "CAST(COLUMNS(*) AS VARCHAR)"
            : wanted.map((name) => `CAST(${identifier(name)} AS VARCHAR) AS ${identifier(name)}`).join(", ")
          const sql = `SELECT ${select} FROM ${source(path, form)}`
          const reader = await connection.runAndReadAll(sql)
          await takeRejects(connection, () => {})
          return {
            file: path,
            columns: wanted ?? reader.columnNames(),
            rows: reader.getRows() as ReadonlyArray<ReadonlyArray<string | null>>
          }
        })
      }),
      events: Effect.fn("TableReader.events")(function*(path, { item, rating, time, user }, form) {
        return yield* attempt(path, async (): Promise<EventScan> => {
          const log = EventLog.builder()
          const found = tally(path)
          let rows = 0
          const add = (
            line: number,
            who: string | null,
            what: string | null,
            when: string | number | null,
            liked: string | null
          ) => {
            rows++
            if (who === null || who === "") return found.add(line, `no ${user}`, "empty")
            if (what === null || what === "") return found.add(line, `no ${item}`, "empty")
            const at = time === undefined ? rows : typeof when === "number" ? when : parseTime(when ?? "")
            if (!Number.isFinite(at)) {
              return found.add(line, `${time} is neither a number nor a date`, `${when ?? "empty"}`)
            }
            if (rating === undefined) return log.add(who, what, at)
            const score = liked === null || liked === "" ? Number.NaN : Number(liked)
            if (Number.isNaN(score) && liked !== null && liked !== "") {
              return found.add(line, `${rating} is not a number`, liked)
            }
            log.add(who, what, at, score)
          }
          if (isJson(path)) {
            let line = 0
            await forEachRow(connection, lines(path), ([text], count) => {
              for (let r = 0; r < count; r++) {
                line++
                const content = String(text![r] ?? "")
                if (content.trim() === "") continue
                const row = parseLine(content)
                if (row === undefined) {
                  rows++
                  found.add(line, "not a JSON object", content)
                  continue
                }
                const when = time === undefined ? null : row[time]
                add(
                  line,
                  asText(row[user]),
                  asText(row[item]),
                  typeof when === "number" ? when : asText(when),
                  rating === undefined ? null : asText(row[rating])
                )
              }
            })
          } else {
            const text = (name: string) => `CAST(${identifier(name)} AS VARCHAR)`
            const select = [
              text(user),
              text(item),
              ...(time === undefined
                ? []
                : [
                  `TRY_CAST(${text(time)} AS DOUBLE)`,
                  `CASE WHEN TRY_CAST(${text(time)} AS DOUBLE) IS NULL THEN ${text(time)} END`
                ]),
              ...(rating === undefined ? [] : [text(rating)])
            ]
            const header = form === undefined ? 1 : 0
            let row = 0
            await forEachRow(connection, `SELECT ${select.join(", ")} FROM ${source(path, form)}`, (cells, count) => {
              const [users, items, numbers, dates] = cells as ReadonlyArray<ReadonlyArray<string | null>>
              const ratings = rating === undefined ? undefined : cells.at(-1) as ReadonlyArray<string | null>
              for (let r = 0; r < count; r++) {
                row++
                const number = time === undefined ? null : numbers![r] as number | null
                const when = number !== null && Number.isFinite(number)
                  ? number
                  : time === undefined
                  ? null
                  : dates![r] ?? null
                add(row + header, users![r]!, items![r]!, when, ratings?.[r] ?? null)
              }
            })
            await takeRejects(connection, (line, problem, content) => {
              rows++
              found.add(line, problem, content)
            })
          }
          return { log: log.build(), rows, ...found.result() }
        })
      })
    })
  })
)
