/**
 * Builder of events whose times are parsed as a whole column.
 */
import { type CatalogError } from "../CatalogError.ts"
import * as EventLog from "../EventLog.ts"
import * as EventTime from "./EventTime.ts"
import * as Malformed from "./Malformed.ts"
import { type DateAndClock, type DateOrder, type EventColumns, type EventScan } from "./TableReader.ts"

/** Cells of a time: a text, or a date and a clock time. */
export type TimeCells = readonly [text: string] | readonly [date: string, clock: string]

/** Builder of events, one by one. */
export interface TimedEvents {
  /** Adds an event; `cells` are undefined where the events are in the order of the file. */
  add(user: string, item: string, line: number, cells: TimeCells | undefined, rating?: number): void
  /** Returns the events, without those whose time is invalid, or an error where the dates are ambiguous. */
  finish(): EventScan | CatalogError
}

/** Returns the columns of a time; none without times. */
export const columnsOf = (time: string | DateAndClock | undefined): ReadonlyArray<string> =>
  time === undefined ? [] : typeof time === "string" ? [time] : [time.date, time.clock]

/** Makes a builder for the events of a file. */
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
