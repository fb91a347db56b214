/**
 * Parsing of event times: numbers unchanged, dates as milliseconds since 1970, in UTC where no zone is named.
 *
 * Differs from `Date.parse`, which accepts "soon 1" as a date and reads dates without a zone in local time. A float64
 * represents current dates to a quarter of a microsecond; further digits are rounded.
 */
import { AmbiguousDates, CatalogError, MixedDates } from "../CatalogError.ts"
import * as MissingWords from "./MissingWords.ts"

/** Order of day and month in dates like "06/12/2014". */
export type Order = "day-first" | "month-first"

/** Result for a column of times. */
export type Column = Times | Ambiguous | Mixed

/** Unambiguous reading of a column. */
export interface Times {
  readonly _tag: "Times"
  /** One time per text; NaN where the text is not a time. */
  readonly times: Float64Array
  /** Description of the format, such as "day first (DD/MM/YYYY)". */
  readonly format: string
  /** Order of day and month, where a row of the column shows it. */
  readonly order: Order | undefined
}

/** Dates whose order no row of the column shows: "06/12/2014" may be in June or December. */
export interface Ambiguous {
  readonly _tag: "Ambiguous"
  readonly example: string
  /** The example's date (YYYY-MM-DD) when its first field is the day. */
  readonly dayFirst: string
  /** The example's date (YYYY-MM-DD) when its first field is the month. */
  readonly monthFirst: string
}

/** Dates of which some are only valid with the day first and others only with the month first. */
export interface Mixed {
  readonly _tag: "Mixed"
  readonly dayFirstExample: string
  readonly monthFirstExample: string
}

/** Options of the parsing; without `order` the column determines the order of day and month. */
export interface Options {
  readonly order?: Order | undefined
}

/** Builder of a column, text by text; a row needs at most two float64 and one byte. */
export interface Builder {
  /** Adds a text for `rows` consecutive rows, 1 by default. */
  add(text: string, rows?: number): void
  finish(): Column
}

const monthNumbers: ReadonlyMap<string, number> = new Map(
  [
    ["jan", "january"],
    ["feb", "february"],
    ["mar", "march"],
    ["apr", "april"],
    ["may"],
    ["jun", "june"],
    ["jul", "july"],
    ["aug", "august"],
    ["sep", "sept", "september"],
    ["oct", "october"],
    ["nov", "november"],
    ["dec", "december"]
  ].flatMap((names, month) => names.map((name) => [name, month + 1]))
)
const monthLengths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Offsets from UTC, in minutes, of named zones: those of RFC 5322 and unambiguous names (so neither BST nor IST). */
const zones: Readonly<Record<string, number>> = {
  Z: 0,
  UTC: 0,
  GMT: 0,
  UT: 0,
  EST: -300,
  EDT: -240,
  CST: -360,
  CDT: -300,
  MST: -420,
  MDT: -360,
  PST: -480,
  PDT: -420,
  WET: 0,
  WEST: 60,
  CET: 60,
  CEST: 120,
  EET: 120,
  EEST: 180,
  JST: 540,
  KST: 540
}

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
/** Milliseconds in 400 years, the period of the Gregorian calendar. */
const fourCenturies = 146_097 * day

/** Returns midnight UTC of a date, NaN for a date that does not exist. */
const midnight = (year: number, month: number, date: number): number => {
  if (!(month >= 1 && month <= 12 && date >= 1 && date <= monthLengths[month - 1]!)) return Number.NaN
  if (month === 2 && date === 29 && (year % 4 !== 0 || (year % 100 === 0 && year % 400 !== 0))) return Number.NaN
  // `Date.UTC` maps the years 0 to 99 to 1900 to 1999.
  return Date.UTC(year + 400, month - 1, date) - fourCenturies
}

/** Returns the year of two or four digits; two digits mean 1969 to 2068, as in POSIX. */
const yearOf = (text: string): number =>
  text.length > 2 ? Number(text) : Number(text) + (Number(text) < 69 ? 2000 : 1900)
const monthOf = (name: string): number => monthNumbers.get(name.toLowerCase()) ?? Number.NaN

// Groups: hour, minute, second, fraction, half of the day.
const halfPattern = String.raw`(?:\s?([ap])\.?\s?m\.?)?`
const clockPattern = String.raw`(\d{1,2})(?::(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?${halfPattern}`
const compactClockPattern = String
  .raw`(\d{2}|\d(?=:))(?::?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?)?${halfPattern}`
// One group. A zone name after an offset is redundant.
const zonePattern = String.raw`(?:\s?([+-]\d{2}(?::?\d{2})?|(?:UTC|GMT)[+-]\d{1,2}(?::?\d{2})?|${
  Object.keys(zones).join("|")
})(?: UTC| GMT|\s?\([^()]*\)|\[[\w/+-]+\])?)?`
const tail = String.raw`(?:(?:T|,?\s+)${clockPattern})?${zonePattern}`
/** Apache writes a colon before the clock. */
const tailOfName = String.raw`(?:(?:T|:|,?\s+)${clockPattern})?${zonePattern}`
const weekday = String
  .raw`(?:(?:mon|tue|tues|wed|wednes|thu|thur|thurs|fri|sat|satur|sun)(?:day)?\.?,?\s+)?`
const monthName = String.raw`([a-z]{3,9})\.?`
const dayNumber = String.raw`(\d{1,2})(?:st|nd|rd|th|\.)?`

type Groups = ReadonlyArray<string>

/** A date format. No text matches two of them. */
interface Form {
  readonly pattern: RegExp
  /** Index of the hour's group; the zone's is five higher. */
  readonly clock: number
  /** Returns midnight UTC; the day first where the order of day and month is open. */
  readonly date: (groups: Groups, order: Order | undefined) => number
  /** Returns midnight UTC with the month first; set where the order of day and month is open. */
  readonly swapped?: (groups: Groups) => number
  /** Returns the description of the format, given the column's order. */
  readonly name: (groups: Groups, order: Order | undefined) => string
}

const form = (pattern: string, rest: Omit<Form, "pattern">): Form => ({
  pattern: new RegExp(`^${pattern}$`, "i"),
  ...rest
})

const fields = ([, , separator, , year]: Groups, order: Order | undefined): string => {
  const letters = year!.length === 2 ? "YY" : "YYYY"
  return order === "month-first"
    ? `month first (MM${separator}DD${separator}${letters})`
    : order === "day-first"
    ? `day first (DD${separator}MM${separator}${letters})`
    : `DD${separator}MM${separator}${letters} or MM${separator}DD${separator}${letters}, which are the same in every row`
}
const dayFirst = (groups: Groups) => midnight(yearOf(groups[4]!), Number(groups[3]), Number(groups[1]))
const monthFirst = (groups: Groups) => midnight(yearOf(groups[4]!), Number(groups[1]), Number(groups[3]))
const named = () => "dates with month names"

const forms: ReadonlyArray<Form> = [
  form(String.raw`(\d{4})([-/.])(\d{1,2})(?:\2(\d{1,2})${tail})?`, {
    clock: 5,
    // "2014.12" is a number.
    date: ([, year, separator, month, date]) =>
      date === undefined && separator === "." ? Number.NaN : midnight(Number(year), Number(month), Number(date ?? 1)),
    name: ([, , separator]) => separator === "-" ? "ISO 8601" : `year first (YYYY${separator}MM${separator}DD)`
  }),
  form(String.raw`(\d{1,2})([-/])(\d{1,2})\2(\d{4}|\d{2})${tail}`, {
    clock: 5,
    date: dayFirst,
    swapped: monthFirst,
    name: fields
  }),
  form(String.raw`(\d{1,2})(\.)(\d{1,2})\.(\d{4}|\d{2})${tail}`, {
    clock: 5,
    // Dates with dots have the day first, unless the order is given.
    date: (groups, order) => order === "month-first" ? monthFirst(groups) : dayFirst(groups),
    name: (groups, order) => fields(groups, order ?? "day-first")
  }),
  form(String.raw`(\d{4})(\d{2})(\d{2})(?:T|\s+)${compactClockPattern}${zonePattern}`, {
    clock: 4,
    date: ([, year, month, date]) => midnight(Number(year), Number(month), Number(date)),
    name: () => "compact dates (YYYYMMDD)"
  }),
  form(String.raw`(\d{1,2}) (\d{1,2}), ?(\d{4})${tail}`, {
    clock: 4,
    date: ([, month, date, year]) => midnight(Number(year), Number(month), Number(date)),
    name: () => "month first (MM DD, YYYY)"
  }),
  form(String.raw`${weekday}${monthName}[ -]\s*${dayNumber}(?:,\s*|\s+|-)(\d{4})${tail}`, {
    clock: 4,
    date: ([, month, date, year]) => midnight(Number(year), monthOf(month!), Number(date)),
    name: named
  }),
  form(String.raw`${weekday}${dayNumber}(?:\s+|[-/.])${monthName}(?:,?\s+|[-/.])(\d{4}|\d{2})${tailOfName}`, {
    clock: 4,
    date: ([, date, month, year]) => midnight(yearOf(year!), monthOf(month!), Number(date)),
    name: named
  }),
  form(String.raw`(\d{4})\s?[年년]\s?(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일]${tail}`, {
    clock: 4,
    date: ([, year, month, date]) => midnight(Number(year), Number(month), Number(date)),
    name: () => "year, month and day in East Asian characters"
  }),
  form(String.raw`(\d{4})([- /])${monthName}\2(\d{1,2})${tail}`, {
    clock: 5,
    date: ([, year, , month, date]) => midnight(Number(year), monthOf(month!), Number(date)),
    name: named
  }),
  form(String.raw`${weekday}${monthName}\s+${dayNumber},?\s+${clockPattern}${zonePattern}\s+(\d{4})`, {
    clock: 3,
    date: (groups) => midnight(Number(groups[9]), monthOf(groups[1]!), Number(groups[2])),
    name: named
  })
]

/** Returns the milliseconds from midnight UTC to a clock time in its zone; NaN for an invalid clock time. */
const sinceMidnight = (groups: Groups, at: number): number => {
  const zone = groups[at + 5]
  const hours = groups[at]
  if (hours === undefined && zone === undefined) return 0
  const [minutes, seconds, fraction, half] = [groups[at + 1], groups[at + 2], groups[at + 3], groups[at + 4]]
  let [h, m, s] = [Number(hours ?? 0), Number(minutes ?? 0), Number(seconds ?? 0)]
  if (half !== undefined) {
    if (h < 1 || h > 12) return Number.NaN
    h = h % 12 + (half === "p" || half === "P" ? 12 : 0)
  } else if (hours !== undefined && minutes === undefined && hours.length !== 2) return Number.NaN
  if (h > 23 || m > 59 || s > 59) return Number.NaN
  let time = h * hour + m * minute + s * second
  if (fraction !== undefined) {
    const excess = fraction.length - 3
    time += excess > 0 ? Number(fraction) / 10 ** excess : Number(fraction) * 10 ** -excess
  }
  if (zone === undefined) return time
  const offset = /^(?:UTC|GMT)?([+-])(\d{1,2})(:?)(\d{2})?$/i.exec(zone)
  if (offset === null) return time - zones[zone.toUpperCase()]! * minute
  // "2014-12-06-05" and "2014-12-06 02-05" may not be times with a zone.
  if (minutes === undefined && half === undefined && offset[3] === "" && /^[+-]/.test(zone)) return Number.NaN
  const [ahead, rest] = [Number(offset[2]), Number(offset[4] ?? 0)]
  if (ahead > 15 || rest > 59) return Number.NaN
  return time - (offset[1] === "-" ? -1 : 1) * (ahead * hour + rest * minute)
}

const pointed = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i
const comma = /^[+-]?\d*,\d+(?:e[+-]?\d+)?$/i
/** Pattern of a whole number with at least two thousands separators. */
const grouped = /^[+-]?[1-9]\d{0,2}(?:,\d{3}){2,}$/
/** Pattern of a number with one comma and three digits: ambiguous, so it is not a number. */
const thousands = /^[+-]?[1-9]\d{0,2},\d{3}$/

const kinds = { none: 0, whole: 1, point: 2, comma: 3, compact: 4, date: 5 } as const
type Kind = typeof kinds[keyof typeof kinds]

/** Returns the time of compact dates like 20141206, 201412060210 and 20141206021011; NaN for other numbers. */
const compactDate = (value: number): number => {
  const unit = value < 1e8 ? 1 : value < 1e12 ? 1e4 : 1e6
  const date = Math.floor(value / unit)
  if (date < 19_000_101 || date > 21_001_231 || !Number.isInteger(value)) return Number.NaN
  const start = midnight(Math.floor(date / 10_000), Math.floor(date / 100) % 100, date % 100)
  const clock = unit === 1e4 ? value % unit * 100 : unit === 1 ? 0 : value % unit
  const [h, m, s] = [Math.floor(clock / 10_000), Math.floor(clock / 100) % 100, clock % 100]
  return h > 23 || m > 59 || s > 59 ? Number.NaN : start + h * hour + m * minute + s * second
}

/** Parser of single texts; the fields hold the result of the last one. */
class Reader {
  kind: Kind = kinds.none
  /** The number, or the time with the day first; NaN when that is not a date. */
  dayFirst = Number.NaN
  /** The time with the month first, NaN when that is not a date; equals `dayFirst` where the order is not open. */
  monthFirst = Number.NaN
  form = forms[0]!
  groups: Groups = []
  readonly order: Order | undefined

  constructor(order: Order | undefined) {
    this.order = order
  }

  read(given: string): Kind {
    // Web server logs put times in brackets.
    const text = given.trim().replace(/^\[(.*)\]$/, "$1")
    if (text.endsWith(" ms")) return this.#later(text)
    // Most texts have the format of the previous one.
    if (this.kind === kinds.date && this.#match(text, this.form)) return this.kind
    if (pointed.test(text)) return this.#number(text, text.includes(".") ? kinds.point : kinds.whole)
    if (grouped.test(text)) return this.#number(text.replaceAll(",", ""), kinds.whole)
    if (comma.test(text) && !thousands.test(text)) return this.#number(text.replace(",", "."), kinds.comma)
    for (const form of forms) {
      if (this.#match(text, form)) return this.kind
    }
    return this.kind = kinds.none
  }

  /** Reads a date and an offset in milliseconds, as `joined` writes them. */
  #later(text: string): Kind {
    const found = / \+(\d+(?:\.\d+)?) ms$/.exec(text)
    if (found === null || this.read(text.slice(0, found.index)) !== kinds.date) return this.kind = kinds.none
    this.dayFirst += Number(found[1])
    this.monthFirst += Number(found[1])
    return this.kind
  }

  #number(text: string, kind: Kind): Kind {
    const value = Number(text)
    this.dayFirst = this.monthFirst = value
    if (!Number.isFinite(value)) return this.kind = kinds.none
    return this.kind = value >= 1e7 && value < 1e14 && !Number.isNaN(compactDate(value)) ? kinds.compact : kind
  }

  #match(text: string, form: Form): boolean {
    const groups = form.pattern.exec(text)
    if (groups === null) return false
    const clock = sinceMidnight(groups, form.clock)
    if (form.swapped === undefined) this.dayFirst = this.monthFirst = form.date(groups, this.order) + clock
    else {
      this.dayFirst = form.date(groups, this.order) + clock
      this.monthFirst = form.swapped(groups) + clock
      if (this.order === "day-first") this.monthFirst = this.dayFirst
      if (this.order === "month-first") this.dayFirst = this.monthFirst
    }
    if (Number.isNaN(this.dayFirst) && Number.isNaN(this.monthFirst)) return false
    this.form = form
    this.groups = groups
    this.kind = kinds.date
    return true
  }
}

/**
 * Parses one text; returns NaN if it is neither a finite number nor a date.
 *
 * Without `order`, "12/1/2010" is read with the month first and "1.12.2010" with the day first; use `column` for a
 * whole column.
 */
export const parse = (text: string, order?: Order): number => {
  const reader = new Reader(order)
  const kind = reader.read(text)
  return kind === kinds.none || kind === kinds.comma ? Number.NaN : reader.monthFirst
}

const dateOf = (time: number): string => new Date(time).toISOString().slice(0, 10)
const ambiguous = (example: string, form: Form, groups: Groups): Ambiguous => ({
  _tag: "Ambiguous",
  example,
  dayFirst: dateOf(form.date(groups, undefined)),
  monthFirst: dateOf(form.swapped!(groups))
})

class Collector implements Builder {
  readonly #reader: Reader
  #capacity = 1024
  #size = 0
  #kinds = new Uint8Array(this.#capacity)
  #dayFirst = new Float64Array(this.#capacity)
  /** Undefined as long as it equals `#dayFirst`. */
  #monthFirst: Float64Array | undefined
  readonly #counts = new Float64Array(6)
  readonly #groups = new Map<Form, Groups>()
  #open: Ambiguous | undefined
  #dayOnly: string | undefined
  #monthOnly: string | undefined

  constructor(order: Order | undefined) {
    this.#reader = new Reader(order)
  }

  add(text: string, rows = 1): void {
    if (this.#size === this.#capacity) this.#grow()
    const row = this.#size++
    const reader = this.#reader
    const kind = reader.read(text)
    this.#kinds[row] = kind
    this.#counts[kind]! += rows
    if (kind === kinds.none) {
      this.#dayFirst[row] = Number.NaN
      if (this.#monthFirst !== undefined) this.#monthFirst[row] = Number.NaN
      return
    }
    const { dayFirst, form, monthFirst } = reader
    this.#dayFirst[row] = dayFirst
    // Unequal to itself when it is NaN.
    if (dayFirst !== monthFirst) {
      this.#monthFirst ??= this.#dayFirst.slice()
      if (Number.isNaN(monthFirst)) this.#dayOnly ??= text
      else if (Number.isNaN(dayFirst)) this.#monthOnly ??= text
      else this.#open ??= ambiguous(text, form, reader.groups)
    }
    if (this.#monthFirst !== undefined) this.#monthFirst[row] = monthFirst
    if (kind === kinds.date && !this.#groups.has(form)) this.#groups.set(form, reader.groups)
  }

  finish(): Column {
    const [, whole, point, commas, compact, dates] = this.#counts as unknown as readonly [
      number,
      number,
      number,
      number,
      number,
      number
    ]
    const plain = whole + point + commas
    const asDates = dates > 0 && dates >= plain
    const [dayOnly, monthOnly] = [this.#dayOnly, this.#monthOnly]
    if (asDates && dayOnly !== undefined && monthOnly !== undefined) {
      return { _tag: "Mixed", dayFirstExample: dayOnly, monthFirstExample: monthOnly }
    }
    if (asDates && this.#open !== undefined && dayOnly === undefined && monthOnly === undefined) return this.#open
    const order: Order | undefined = this.#reader.order ??
      (dayOnly !== undefined ? "day-first" : monthOnly !== undefined ? "month-first" : undefined)
    const times = (order === "month-first" ? this.#monthFirst ?? this.#dayFirst : this.#dayFirst)
      .subarray(0, this.#size)
    const widths = new Set<number>()
    if (compact > 0 && plain === 0) {
      for (let row = 0; row < this.#size; row++) {
        if (this.#kinds[row] === kinds.compact) widths.add(String(times[row]).length)
      }
    }
    // Compact dates of equal width are ordered like their numbers, so they are not converted.
    const expanded = asDates || (dates === 0 && widths.size > 1)
    // A column has only one kind of decimal separator.
    const wrongSign = commas > point ? kinds.point : kinds.comma
    for (let row = 0; row < this.#size; row++) {
      const kind = this.#kinds[row]
      if (kind === kinds.none || kind === kinds.whole && !expanded) continue
      if (kind === kinds.compact) {
        if (expanded) times[row] = compactDate(times[row]!)
      } else if (expanded ? kind !== kinds.date : kind === kinds.date || (point > 0 && kind === wrongSign)) {
        times[row] = Number.NaN
      }
    }
    return {
      _tag: "Times",
      times,
      format: this.#format(expanded, wrongSign === kinds.point, order),
      order: dayOnly !== undefined ? "day-first" : monthOnly !== undefined ? "month-first" : undefined
    }
  }

  #format(expanded: boolean, commas: boolean, order: Order | undefined): string {
    if (!expanded) {
      return this.#counts.every((count, kind) => kind === kinds.none || count === 0)
        ? "no times"
        : commas
        ? "numbers with decimal commas"
        : "numbers"
    }
    const names = [...this.#groups].map(([form, groups]) => form.name(groups, order))
    if (this.#counts[kinds.compact]! > 0) names.push("compact dates (YYYYMMDD)")
    return [...new Set(names)].join(", ")
  }

  #grow(): void {
    const larger = <A extends Uint8Array | Float64Array>(array: A, copy: A): A => {
      copy.set(array)
      return copy
    }
    this.#capacity *= 2
    this.#kinds = larger(this.#kinds, new Uint8Array(this.#capacity))
    this.#dayFirst = larger(this.#dayFirst, new Float64Array(this.#capacity))
    if (this.#monthFirst !== undefined) {
      this.#monthFirst = larger(this.#monthFirst, new Float64Array(this.#capacity))
    }
  }
}

/** Makes a builder, for readers that read each row once; `finish` returns the result. */
export const builder = (options: Options = {}): Builder => new Collector(options.order)

/**
 * Parses a column of times.
 *
 * Numbers and dates have no common order: in a column with both, the rarer kind becomes NaN; ties go to dates. Digits
 * like 20141206 are dates where the column has other dates too or digits of several widths, else numbers. Where decimal
 * commas and decimal points both occur, the rarer kind becomes NaN.
 */
export const column = (texts: Iterable<string>, options?: Options): Column => {
  const collector = builder(options)
  for (const text of texts) collector.add(text)
  return collector.finish()
}

/** Builds the error for a column whose dates have no unambiguous reading. */
export const failure = (
  found: Ambiguous | Mixed,
  file: string,
  column: string
): CatalogError =>
  new CatalogError({
    reason: found._tag === "Ambiguous"
      ? new AmbiguousDates({
        file,
        column,
        example: found.example,
        dayFirst: found.dayFirst,
        monthFirst: found.monthFirst
      })
      : new MixedDates({
        file,
        column,
        dayFirst: found.dayFirstExample,
        monthFirst: found.monthFirstExample
      })
  })

const clockAlone = new RegExp(`^${clockPattern}$`, "i")
/** Dates that spreadsheets and pandas put before a clock time that has none. */
const dummyDate = /^(?:0 days|1899-12-3[01]|1900-01-0[01])[T ]+/i
const wholeNumber = /^\d+(?:\.0+)?$/

/** Formats a clock time as HH:MM:SS, with its fraction if any; undefined for other texts. */
const clockOf = (text: string): string | undefined => {
  const bare = text.trim().replace(dummyDate, "")
  const groups = clockAlone.exec(wholeNumber.test(bare) ? bare.replace(/\.0+$/, "").padStart(2, "0") : bare)
  if (groups === null || Number.isNaN(sinceMidnight(groups, 1))) return undefined
  const [, hours, minutes = "00", seconds = "00", fraction, half] = groups
  const h = half === undefined ? Number(hours) : Number(hours) % 12 + (half.toLowerCase() === "p" ? 12 : 0)
  return `${String(h).padStart(2, "0")}:${minutes}:${seconds}${fraction === undefined ? "" : `.${fraction}`}`
}

const midnightTail = /(?:T|\s+)(?:0?0:00(?::00(?:[.,]0+)?)?|12:00(?::00)?\s?am)(?=$|Z|[\s+-])/i
const ownClock = /\d:\d{2}|\d[T ]\d{2}$/i

/**
 * Joins a date and a clock time from two cells to one text for `column`.
 *
 * A clock time is an hour, HH:MM with optional seconds and AM or PM, or a number of milliseconds since midnight: any
 * number above 23, and smaller ones where `numbers` is "milliseconds". It replaces the date's own clock time only where
 * that is midnight. The result is "" where a cell has no value, and not a time where the clock is invalid.
 */
export const joined = (date: string, clock: string, numbers: "hours" | "milliseconds" = "hours"): string => {
  if (MissingWords.isMissing(date) || MissingWords.isMissing(clock)) return ""
  const [start, offset] = [date.trim(), clock.trim()]
  const found = midnightTail.exec(start)
  const [bare, zone] = found === null
    ? [start, ""]
    : [start.slice(0, found.index), start.slice(found.index + found[0].length)]
  if (ownClock.test(bare)) return bare
  if (/^\d+(?:\.\d+)?$/.test(offset) && (numbers === "milliseconds" || Number(offset) > 23)) {
    return `${start} +${offset} ms`
  }
  const time = clockOf(offset)
  return time === undefined ? `${start} at ${offset}` : `${bare} ${time}${zone}`
}

/** Returns whether plain numbers in a column of clock times are hours or milliseconds since midnight. */
export const clockUnit = (clocks: Iterable<string>): "hours" | "milliseconds" => {
  for (const clock of clocks) if (/^\s*\d+(?:\.\d+)?\s*$/.test(clock) && Number(clock) > 23) return "milliseconds"
  return "hours"
}

/** The years 1990 and 2100, in seconds since 1970. */
const epoch = [631_152_000, 4_102_444_800] as const

/**
 * Classifies a column by sampled values: seconds, milli-, micro- or nanoseconds since 1970 between 1990 and 2100
 * (`epoch`), dates, clock times without a date (including hours 0 to 23), other numbers, or none of these.
 *
 * One cell in ten may differ; cells without a value are ignored. Ratings and counts also look like hours, and ids of
 * ten digits like seconds, so callers have to use the column names too.
 */
export const looksLike = (samples: ReadonlyArray<string>): "number" | "epoch" | "date" | "clock" | "none" => {
  const texts = samples.filter((text) => !MissingWords.isMissing(text))
  const mostly = (count: number) => count > 0 && 10 * count >= 9 * texts.length
  const clocks = texts.filter((text) => clockOf(text) !== undefined)
  // Columns of zeros and ones are flags.
  if (mostly(clocks.length) && clocks.some((text) => !/^[01](?:\.0+)?$/.test(text.trim()))) return "clock"
  const reader = new Reader(undefined)
  const [numbers, units] = [[0, 0], [0, 0, 0, 0]]
  let dates = 0
  for (const text of texts) {
    const kind = reader.read(text)
    if (kind === kinds.date) dates++
    if (kind === kinds.date || kind === kinds.none) continue
    numbers[kind === kinds.compact ? 1 : 0]!++
    for (const unit of units.keys()) {
      const seconds = reader.dayFirst / 1000 ** unit
      if (seconds >= epoch[0] && seconds < epoch[1]) units[unit]!++
    }
  }
  return mostly(dates + numbers[1]!)
    ? "date"
    : units.some(mostly)
    ? "epoch"
    : mostly(numbers[0]! + numbers[1]!)
    ? "number"
    : "none"
}
