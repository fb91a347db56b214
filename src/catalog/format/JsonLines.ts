/**
 * Files with one object a line: JSON, or Python dict literals, in which Amazon's metadata of 2014 is written.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { type CatalogError } from "../CatalogError.ts"
import * as EventLog from "../EventLog.ts"
import * as EventTime from "../reader/EventTime.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as PythonLiteral from "../reader/PythonLiteral.ts"
import { type EventColumns, type EventScan } from "../reader/TableReader.ts"
import * as TextLines from "../reader/TextLines.ts"

/** Files of one object a line by their names; a `.json` may turn out to hold one big object, which has no columns. */
export const isJsonLines = (name: string): boolean =>
  /\.(jsonl|ndjson|json)(\.gz)?$/i.test(name) && !/(^|\/)sidereal\.json$/.test(name)

type Row = Readonly<Record<string, unknown>>

const isRow = (value: unknown): value is Row => typeof value === "object" && value !== null && !Array.isArray(value)

/** The object of a line, or undefined. */
const parse = (line: string): Row | undefined => {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    value = line.trimStart().startsWith("{") ? PythonLiteral.tryParse(line) : undefined
  }
  return isRow(value) ? value : undefined
}

/** The keys of the objects at the beginning of a file; none when its lines are no objects. */
export const columns: (
  path: string
) => Effect.Effect<ReadonlyArray<string>, CatalogError, FileSystem.FileSystem> = Effect.fn("JsonLines.columns")(
  function*(path) {
    const keys = new Set<string>()
    // The last line may be cut off; and reading the file tells what is wrong with the others.
    for (const line of (yield* TextLines.head(path)).slice(0, 1000)) {
      for (const key of Object.keys(parse(line) ?? {})) keys.add(key)
    }
    return [...keys]
  }
)

/** Gives every object of a file with its line; lines that are none are tallied. Blank lines are passed over. */
export const forEach = (
  path: string,
  tally: Malformed.Tally,
  each: (row: Row, line: number) => void
): Effect.Effect<void, CatalogError, FileSystem.FileSystem> =>
  TextLines.forEach(path, {
    line: (text, line) => {
      if (text.trim() === "") return
      tally.rows++
      const row = parse(text)
      if (row === undefined) tally.add(line, "not a JSON object", text)
      else each(row, line)
    },
    undecodable: (line) => {
      tally.rows++
      tally.add(line, Malformed.problems.encoding, "not shown")
    }
  })

const keyOf = (value: unknown): string =>
  typeof value === "string" ? value : typeof value === "number" ? String(value) : ""

/** The events of a file, as of `TableReader.events`. */
export const events: (
  path: string,
  columns: EventColumns
) => Effect.Effect<EventScan, CatalogError, FileSystem.FileSystem> = Effect.fn("JsonLines.events")(
  function*(path, { item, rating, time, user }) {
    const log = EventLog.builder()
    const tally = new Malformed.Tally(path)
    yield* forEach(path, tally, (row, line) => {
      const who = keyOf(row[user])
      const what = keyOf(row[item])
      if (who === "") return tally.add(line, Malformed.problems.missing(user), row[user])
      if (what === "") return tally.add(line, Malformed.problems.missing(item), row[item])
      const at = time === undefined ? line : EventTime.parse(keyOf(row[time]))
      if (Number.isNaN(at)) return tally.add(line, Malformed.problems.time(time!), row[time!])
      if (rating === undefined) return log.add(who, what, at)
      const given = row[rating]
      const absent = given === undefined || given === null || given === ""
      const score = absent ? Number.NaN : Number(keyOf(given))
      if (!absent && (keyOf(given) === "" || !Number.isFinite(score))) {
        return tally.add(line, Malformed.problems.rating(rating), given)
      }
      log.add(who, what, at, score)
    })
    return { log: log.build(), ...tally.findings }
  }
)
