/**
 * Events and rows of JSON files: one object a line above all, and whatever else `JsonText` reads, such as the Python dict
 * literals in which Amazon's metadata of 2014 is written.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { type CatalogError } from "../CatalogError.ts"
import * as EventLog from "../EventLog.ts"
import * as EventTime from "../reader/EventTime.ts"
import * as JsonText from "../reader/JsonText.ts"
import * as Malformed from "../reader/Malformed.ts"
import { type EventColumns, type EventScan } from "../reader/TableReader.ts"
import type * as TextLines from "../reader/TextLines.ts"

/** Files of JSON by their names; what they hold may turn out to be no records. */
export const isJsonLines = (name: string): boolean =>
  /\.(jsonl|ndjson|json)(\.gz)?$/i.test(name) && !/(^|\/)sidereal\.json$/.test(name)

/** Whether a text begins as JSON does, whatever the name of its file says. */
export const looksLikeJson = JsonText.looksLikeJson

/** The keys of the objects at the beginning of a file; none when it holds no objects. */
export const columns: (
  path: string,
  options?: TextLines.Options
) => Effect.Effect<ReadonlyArray<string>, CatalogError, FileSystem.FileSystem> = Effect.fn("JsonLines.columns")(
  function*(path, options) {
    const keys = new Set<string>()
    // Reading the file tells what is wrong with damaged records.
    for (const row of yield* JsonText.head(path, options)) for (const key of Object.keys(row)) keys.add(key)
    return [...keys]
  }
)

/** Gives every object of a file with its line; records that are none are tallied. Blank lines are passed over. */
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

/** Empty for what is neither text nor number, so that what every object inherits is nothing. */
const textOf = (value: unknown): string =>
  typeof value === "string" ? value : typeof value === "number" ? String(value) : ""

/** How events are read. */
export interface EventsOptions extends TextLines.Options {
  /** Texts that stand for no value, besides the empty one. @default none */
  readonly isMissing?: ((text: string) => boolean) | undefined
}

/** The events of a file, as of `TableReader.events`. */
export const events: (
  path: string,
  columns: EventColumns,
  options?: EventsOptions
) => Effect.Effect<EventScan, CatalogError, FileSystem.FileSystem> = Effect.fn("JsonLines.events")(
  function*(path, { item, rating, time, user }, options = {}) {
    const log = EventLog.builder()
    const tally = new Malformed.Tally(path)
    const isMissing = (text: string) => text === "" || options.isMissing?.(text) === true
    yield* forEach(path, tally, (row, line) => {
      const who = textOf(row[user])
      const what = textOf(row[item])
      if (isMissing(who)) return tally.add(line, Malformed.problems.missing(user), row[user])
      if (isMissing(what)) return tally.add(line, Malformed.problems.missing(item), row[item])
      // Records of one line stand in the order of the file.
      const at = time === undefined ? tally.rows : EventTime.parse(textOf(row[time]))
      if (Number.isNaN(at)) return tally.add(line, Malformed.problems.time(time!), row[time!])
      if (rating === undefined) return log.add(who, what, at)
      const given = row[rating]
      const isAbsent = given === undefined || given === null || (typeof given === "string" && isMissing(given))
      const score = isAbsent ? Number.NaN : Number(textOf(given) || Number.NaN)
      if (!isAbsent && !Number.isFinite(score)) return tally.add(line, Malformed.problems.rating(rating), given)
      log.add(who, what, at, score)
    }, options)
    return { log: log.build(), ...tally.findings }
  }
)
