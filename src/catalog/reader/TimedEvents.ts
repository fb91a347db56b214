/**
 * Events collected one by one whose times are told by their column as a whole.
 */
import { type CatalogError } from "../CatalogError.ts"
import * as EventLog from "../EventLog.ts"
import * as EventTime from "./EventTime.ts"
import * as Malformed from "./Malformed.ts"
import { type DateAndClock, type DateOrder, type EventColumns, type EventScan } from "./TableReader.ts"

/** Cells of a time: a text, or a date and the clock beside it. */
export type TimeCells = readonly [text: string] | readonly [date: string, clock: string]

/** Collects events; `finish` reads their times and ends it. */
export interface TimedEvents {
  /** `cells` are absent where the order of the file counts. */
  add(user: string, item: string, line: number, cells: TimeCells | undefined, rating?: number): void
  /** The events, those without a time left out and tallied; or why the column has no one reading. */
  finish(): EventScan | CatalogError
}

/** The columns of a time, none where the order of the file counts. */
export const columnsOf = (time: string | DateAndClock | undefined): ReadonlyArray<string> =>
  time === undefined ? [] : typeof time === "string" ? [time] : [time.date, time.clock]

/** Collects events of a file. */
export const make = (
  file: string,
  tally: Malformed.Tally,
  time: EventColumns["time"],
  order: DateOrder | undefined
): TimedEvents => {
  const log = EventLog.builder()
  const lines: Array<number> = []
  const cells: Array<TimeCells> = []
  return {
    add: (user, item, line, own, rating) => {
      log.add(user, item, log.size, rating)
      if (own === undefined) return
      lines.push(line)
      cells.push(own)
    },
    finish: () => {
      const built = log.build()
      if (time === undefined) return { log: built, ...tally.findings }
      const column = EventTime.builder({ order })
      const unit = EventTime.clockUnit(cells.flatMap(([, clock]) => clock ?? []))
      for (const [text, clock] of cells) column.add(clock === undefined ? text : EventTime.joined(text, clock, unit))
      const found = column.finish()
      const name = Malformed.columnName(time)
      if (found._tag !== "Times") return EventTime.failure(found, file, name)
      for (const [e, moment] of found.times.entries()) {
        if (Number.isNaN(moment)) tally.add(lines[e]!, Malformed.problems.time(name), cells[e]!.join(" "))
      }
      return {
        log: EventLog.timed(built, found.times),
        ...tally.findings,
        ...(found.order === undefined ? {} : { dates: found.order })
      }
    }
  }
}
