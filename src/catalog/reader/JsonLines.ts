/**
 * Events and rows of JSON files: one object per line, or any other layout of `JsonText`, such as the Python dict
 * literals of Amazon's metadata of 2014.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { type CatalogError } from "../CatalogError.ts"
import * as JsonText from "./JsonText.ts"
import * as Keys from "./Keys.ts"
import * as Malformed from "./Malformed.ts"
import * as MissingWords from "./MissingWords.ts"
import { type EventColumns, type EventOptions, type EventScan } from "./TableReader.ts"
import type * as TextLines from "./TextLines.ts"
import * as TimedEvents from "./TimedEvents.ts"

/** Returns whether a text begins like JSON, independent of the file name. */
export const looksLikeJson = JsonText.looksLikeJson

/** Returns the objects at the beginning of a file; none when it holds no objects. */
export const head: (
  path: string,
  options?: TextLines.Options
) => Effect.Effect<ReadonlyArray<JsonText.Row>, CatalogError, FileSystem.FileSystem> = JsonText.head

/** Calls a function with every object of a file and its line; counts other records as malformed, skips blank lines. */
export const forEach = (
  path: string,
  tally: Malformed.Tally,
  each: (row: JsonText.Row, line: number) => void,
  options?: TextLines.Options
): Effect.Effect<void, CatalogError, FileSystem.FileSystem> =>
  JsonText.forEach(path, {
    row: (row, line) => {
      tally.rows++
      each(row, line)
    },
    bad: (line, problem, text) => {
      tally.rows++
      tally.add(line, problem, problem === Malformed.problems.encoding ? "not shown" : text)
    }
  }, options)

/**
 * Returns a value as text; "" for values that are neither text nor number. MongoDB's `{"$oid": "5f"}` becomes "5f".
 */
export const textOf = (value: unknown): string => {
  if (typeof value === "string") return value
  if (typeof value === "number") return String(value)
  const [[key, inner] = ["", undefined], ...others] = typeof value === "object" && value !== null
    ? Object.entries(value)
    : []
  return others.length === 0 && key.startsWith("$") ? textOf(inner) : ""
}

/** Reads the events of a file, as `TableReader.events` does. */
export const events: (
  path: string,
  columns: EventColumns,
  options?: EventOptions
) => Effect.Effect<EventScan, CatalogError, FileSystem.FileSystem> = Effect.fn("JsonLines.events")(
  function*(path, { item, rating, time, user }, { dates, form, missing = MissingWords.words } = {}) {
    const tally = new Malformed.Tally(path)
    const found = TimedEvents.make(path, tally, time, dates)
    const absent = new Set(["", ...missing])
    const isMissing = (text: string) => absent.has(text) || absent.has(text.trim())
    yield* forEach(path, tally, (row, line) => {
      const who = textOf(row[user])
      const what = textOf(row[item])
      if (isMissing(who)) return tally.add(line, Malformed.problems.missing(user), row[user])
      if (isMissing(what)) return tally.add(line, Malformed.problems.missing(item), row[item])
      const cells = time === undefined
        ? undefined
        : typeof time === "string"
        ? [textOf(row[time])] as const
        : [textOf(row[time.date]), textOf(row[time.clock])] as const
      if (rating === undefined) return found.add(who, what, line, cells)
      const given = row[rating]
      const isAbsent = given === undefined || given === null || (typeof given === "string" && isMissing(given))
      const score = isAbsent ? Number.NaN : Number(textOf(given).replace(",", ".") || Number.NaN)
      if (!isAbsent && !Number.isFinite(score)) return tally.add(line, Malformed.problems.rating(rating), given)
      found.add(who, what, line, cells, score)
    }, { encoding: form?.encoding })
    const scan = found.finish()
    return "log" in scan
      ? {
        ...scan,
        log: { ...scan.log, userKeys: Keys.whole(scan.log.userKeys), itemKeys: Keys.whole(scan.log.itemKeys) }
      }
      : yield* scan
  }
)
