/**
 * How a table of text is written, told by its first rows: separator, quotes, line ends, header, comments.
 */
import * as EventTime from "./EventTime.ts"
import * as MissingWords from "./MissingWords.ts"

/** How a table is written, and how it begins. RFC 4180 holds where the text shows nothing else. */
export interface Format {
  /** One of `,` tab `;` `|` `::` `^` U+0001, or a space for runs of spaces. */
  readonly separator: string
  /** Absent where quotation marks are part of the cells. */
  readonly quote: "\"" | "'" | undefined
  /** How a quotation mark is written inside a quoted cell. */
  readonly escape: "doubled" | "backslash"
  /** Whether spaces after a separator are no part of the cell. */
  readonly skipSpace: boolean
  /** Whether the first row names the columns; absent where nothing tells. */
  readonly header: boolean | undefined
  readonly lineEnd: "\n" | "\r\n" | "\r" | "mixed"
  /** Lines before the first row: comments with # or %, blank lines, and the "sep=;" of spreadsheets. */
  readonly commentLines: number
  /** The cells of the first row, without spaces around them, header or not. */
  readonly columns: ReadonlyArray<string>
  /** At most 50 whole rows after the first; none is blank. */
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
}

/** Separators, the likelier first where all else is equal. */
const separators = ["\t", "\u0001", "::", ";", "|", ",", "^"]
/** How many rows are returned, and how many are looked at. */
const [shown, seen] = [50, 1000]
/** A quoted cell longer than this at the end of a head that was cut off was not meant as one. */
const longestOpen = 8192
/** A head of 64 KiB has more characters than this in any encoding. */
const wholeBelow = 21_000
/** Shares of consistent rows that differ by less are alike: then more columns count. */
const leeway = 0.1
/** Share of the rows that must have as many cells as the first. */
const enough = 0.6

interface Dialect {
  readonly separator: string
  readonly quote: "\"" | "'" | undefined
  readonly escape: "doubled" | "backslash"
  readonly skipSpace: boolean
}

interface Scan {
  readonly dialect: Dialect
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
  /** Cells in quotes that end where they should. */
  readonly quoted: number
  /** Cells that begin with a quote and do not end with one. */
  readonly broken: number
  /** Whether some column is in quotes in every row but the first, of at least two. */
  readonly alwaysQuoted: boolean
  /** Line ends, by how they are written; those inside of quotes do not count. */
  readonly ends: ReadonlySet<string>
  /** Share of the rows with as many cells as the first; one more counts a little less. */
  readonly consistency: number
}

/** Whether carriage returns end lines by themselves. */
const isMac = (text: string): boolean => {
  const lone = text.match(/\r(?!\n|$)/g)?.length ?? 0
  return lone > 0 && lone >= (text.match(/\n/g)?.length ?? 0)
}

/** Splits the text as one dialect has it. */
const scan = (text: string, whole: boolean, mac: boolean, dialect: Dialect): Scan => {
  const { escape, quote, separator, skipSpace } = dialect
  const spaced = separator === " "
  const ends = new Set<string>()
  const rows: Array<ReadonlyArray<string>> = []
  /** Rows that have the column in quotes. */
  const inQuotesBy: Array<number> = []
  let [at, quoted, broken] = [0, 0, 0]
  let cut = false

  const endAt = (): string => {
    const sign = text[at]
    if (sign === "\n") return "\n"
    if (sign !== "\r") return ""
    return text[at + 1] === "\n" ? "\r\n" : mac ? "\r" : ""
  }
  const stops = () => at >= text.length || text.startsWith(separator, at) || endAt() !== ""
  const spaces = () => {
    while (text[at] === " ") at++
  }
  /** Reads on behind the opening quote; undefined where no quote closes the cell. */
  const inQuotes = (): string | undefined => {
    let value = ""
    for (let from = ++at; at < text.length; at++) {
      const sign = text[at]
      const next = text[at + 1]
      if (escape === "backslash" && sign === "\\" && (next === quote || next === "\\")) {
        value += text.slice(from, at) + next
        from = ++at + 1
      } else if (sign === quote) {
        value += text.slice(from, at)
        if (escape === "backslash" || next !== quote) {
          at++
          return value
        }
        from = ++at
      }
    }
    return undefined
  }
  const cell = (column: number): string => {
    if (skipSpace || spaced) spaces()
    const start = at
    if (quote !== undefined && text[at] === quote) {
      const value = inQuotes()
      if (skipSpace) spaces()
      if (value !== undefined && stops()) {
        quoted++
        if (rows.length > 0) inQuotesBy[column] = (inQuotesBy[column] ?? 0) + 1
        return value
      }
      if (value === undefined && !whole && at - start <= longestOpen) cut = true
      else {
        // The quote was a sign like others; the cell ends at the next separator.
        broken++
        at = start
      }
    }
    while (!stops()) at++
    return text.slice(start, at)
  }

  while (at < text.length && rows.length < seen) {
    if (spaced) spaces()
    const start = at
    const row: Array<string> = []
    while (true) {
      row.push(cell(row.length))
      if (spaced) spaces()
      if (!spaced && text.startsWith(separator, at)) at += separator.length
      else if (at >= text.length || endAt() !== "") break
    }
    const blank = row.length === 1 && text.slice(start, at).trim() === ""
    const end = endAt()
    at += end.length
    if (end !== "") ends.add(end)
    if (!blank && !(end === "" && (cut || (!whole && rows.length > 1)))) rows.push(row)
  }
  const width = rows[0]?.length ?? 0
  const having = (cells: number) => rows.filter((row) => row.length === cells).length
  // R leaves out the name of the row names, others end rows with a separator.
  const alike = Math.max(having(width), width > 1 ? 0.9 * having(width + 1) : 0)
  return {
    dialect,
    rows,
    quoted,
    broken,
    alwaysQuoted: rows.length > 2 && inQuotesBy.some((count) => count >= rows.length - 1),
    ends,
    consistency: rows.length === 0 ? 0 : alike / rows.length
  }
}

/** The first of the greatest, by several measures of which the earlier count more. */
const best = <A>(values: ReadonlyArray<A>, measure: (value: A) => ReadonlyArray<number>): A | undefined =>
  values.map((value) => [value, measure(value)] as const).toSorted(([, a], [, b]) => {
    const differs = a.findIndex((value, i) => value !== b[i])
    return differs < 0 ? 0 : b[differs]! - a[differs]!
  })[0]?.[0]

/** The dialect of a separator that explains the text best. */
const withSeparator = (text: string, whole: boolean, mac: boolean, separator: string): Scan => {
  const dialect = (quote: Dialect["quote"], escape: Dialect["escape"] = "doubled", skipSpace = false): Scan =>
    scan(text, whole, mac, { separator, quote, escape, skipSpace })
  const bare = dialect(undefined)
  const spaceAfter = separator !== " " && bare.rows.some((row) => row.slice(1).some((cell) => cell.startsWith(" ")))
  const proven = (["\"", "'"] as const).filter((quote) => text.includes(quote)).flatMap((quote) => {
    const escapes = text.includes(`\\${quote}`) ? ["doubled", "backslash"] as const : ["doubled"] as const
    const found = best(
      escapes.flatMap((escape) =>
        [false, true].slice(0, spaceAfter ? 2 : 1).map((skip) => dialect(quote, escape, skip))
      ),
      ({ broken, consistency, quoted }) => [-broken, consistency, quoted]
    )!
    const { broken, consistency, quoted, rows } = found
    const more = consistency > bare.consistency
    const proves = quote === "'"
      // Single quotes are apostrophes as well.
      ? broken === 0 && quoted > 0 && (more || found.alwaysQuoted)
      : isUsuallyQuoted(separator)
      ? broken === 0 || more || (consistency === bare.consistency && 2 * broken < rows.length)
      : quoted > 0 && (broken === 0 || more || (consistency === bare.consistency && broken < quoted))
    return proves ? [found] : []
  })
  const found = best(proven, ({ consistency, quoted }) => [consistency, quoted])
  if (found !== undefined && found.quoted > 0) return found
  const spaced = spaceAfter &&
    bare.rows.every((row) => row.length > 1 && row.slice(1).every((cell) => /^ |^$/.test(cell)))
  const plain = spaced ? dialect(undefined, "doubled", true) : bare
  // What needs quotes may come later.
  return found === undefined && text.includes("\"") ? plain : { ...plain, dialect: { ...plain.dialect, quote: "\"" } }
}

/** Separators of RFC 4180 and its kin, where a quotation mark at the start of a cell is a quote or a mistake. */
const isUsuallyQuoted = (separator: string): boolean => separator === "," || separator === ";"

const number = /^\s*[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:e[+-]?\d+)?\s*$/i
/** An id, such as B00005, u17 or 10.1/x-5: digits among other signs and no spaces. */
const code = /^(?=\S*\d)\S+$/
const name = /^[\p{L}_][^\d\n]{0,60}$/u

type Kind = "missing" | "value" | "code" | "name" | "text"

/** What a cell looks like; numbers and dates are values. */
const kindOf = (cell: string): Kind => {
  const text = cell.trim()
  return MissingWords.isMissing(text)
    ? "missing"
    : number.test(text) || (/\d/.test(text) && text.length < 48 && !Number.isNaN(EventTime.parse(text)))
    ? "value"
    : code.test(text)
    ? "code"
    : name.test(text)
    ? "name"
    : "text"
}

/** Words of which column names are made in this trade. */
const columnWords = new Set(
  ("user item id uid iid userid itemid visitor visitorid customer member client session product sku asin movie book " +
    "song track artist album business game app article news title name description rating ratings score stars review " +
    "time timestamp date datetime ts event action behavior type category categories genre genres brand price quantity " +
    "count text summary url tags label author year click clicks image").split(" ")
)
/** Names of one piece need one such word, names with spaces only such words: "parent_asin", "User ID". */
const isColumnName = (cell: string): boolean => {
  const words = cell.trim().replace(/([\p{Ll}\d])(\p{Lu})/gu, "$1 $2").toLowerCase().split(/[\s_.:-]+/).filter(Boolean)
  const known = (word: string) => columnWords.has(word)
  return name.test(cell.trim()) && (/\s/.test(cell.trim()) ? words.every(known) : words.some(known))
}

/** Whether the first row names the columns, by what stands below it. */
const hasHeader = (first: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): boolean | undefined => {
  const kinds = first.map(kindOf)
  let [names, values] = [0, 0]
  for (const [column, kind] of kinds.entries()) {
    const below = rows.map((row) => kindOf(row[column] ?? "")).filter((kind) => kind !== "missing")
    const share = (...wanted: ReadonlyArray<Kind>) =>
      below.length > 0 && below.filter((kind) => wanted.includes(kind)).length >= 0.8 * below.length
    if (share("value")) {
      if (kind === "value") values++
      else if (kind !== "missing") names++
    } else if (share("value", "code")) {
      if (kind === "value" || kind === "code") values++
      else if (kind === "name") names++
    }
  }
  if (values > 0) return names > values && first.every((cell) => isColumnName(cell)) ? undefined : false
  if (names > 0) return true
  if (first.length === 0) return undefined
  const known = first.filter(isColumnName).length
  const repeated = first.some((cell, column) =>
    rows.some((row) => row[column] === cell && !MissingWords.isMissing(cell))
  )
  return 2 * known >= first.length && !kinds.includes("value") && !repeated
    ? true
    : rows.length === 0 && kinds.includes("value")
    ? false
    : undefined
}

/** Leading lines that are no rows, in number and in characters, and the separator that a spreadsheet names there. */
const preamble = (text: string, mac: boolean) => {
  let [lines, at, separator] = [0, 0, undefined as string | undefined]
  const ends = mac ? /\r\n|\n|\r/g : /\n/g
  while (at < text.length) {
    ends.lastIndex = at
    const end = ends.exec(text)
    const line = text.slice(at, end?.index).trim()
    const named = lines === 0 ? /^"?sep=(.|::)"?$/i.exec(line)?.[1] : undefined
    if (named === undefined && line !== "" && !/^[#%]/.test(line)) break
    // Data all of whose lines begin so are no comments.
    if (end === null) return { lines: 0, at: 0, separator: undefined }
    separator ??= named
    lines++
    at = end.index + end[0].length
  }
  return at >= text.length ? { lines: 0, at: 0, separator: undefined } : { lines, at, separator }
}

/**
 * Tells how a table is written by its head, which may end in the middle of a line.
 *
 * The separator is the one that divides most rows, quotes respected, into as many cells as the first; a text that none
 * divides is a table of one column; a separator that is `given` divides whatever the rows show. `whole` says that the head is the whole file: its last line counts without a line end.
 */
export const sniff = (head: string, whole = head.length < wholeBelow, given?: string): Format => {
  const text = head.startsWith("\ufeff") ? head.slice(1) : head
  const mac = isMac(text)
  const { at, lines, separator: told } = preamble(text, mac)
  const separator = given ?? told
  const body = text.slice(at)
  const candidates = (separator === undefined ? separators : [separator])
    .filter((sign) => body.includes(sign))
    .map((sign) => withSeparator(body, whole, mac, sign))
    .filter(({ consistency, rows }) => separator !== undefined || (rows[0]?.length ?? 0) > 1 && consistency >= enough)
  const highest = Math.max(...candidates.map(({ consistency }) => consistency))
  const found = best(
    candidates.filter(({ consistency }) => consistency >= highest - leeway),
    ({ rows }) => [rows[0]?.length ?? 0, rows.flat().filter((cell) => number.test(cell)).length]
  ) ?? spaceSeparated(body, whole, mac) ?? byFirstRow(body, whole, mac) ?? single(body, whole, mac)
  const { dialect, ends, rows } = found
  const lineEnd = ends.size > 1 ? "mixed" : ([...ends] as ReadonlyArray<"\n" | "\r\n" | "\r">)[0] ?? "\n"
  const named = commentedHeader(text.slice(0, at), mac, found)
  if (named !== undefined) {
    return {
      ...dialect,
      header: true,
      lineEnd,
      commentLines: lines - 1,
      columns: named,
      rows: rows.slice(0, shown)
    }
  }
  const [first = [], ...rest] = rows
  const columns = first.map((cell) => cell.trim())
  const header = hasHeader(columns, rest)
  // R leaves out the name of the row names.
  const isShort = header !== false && rest.length > 0 && rest.every((row) => row.length === columns.length + 1) &&
    rest.some((row) => row.at(-1) !== "")
  return {
    ...dialect,
    header: isShort ? hasHeader(["", ...columns], rest) : header,
    lineEnd,
    commentLines: lines,
    columns: isShort ? ["", ...columns] : columns,
    rows: rest.slice(0, shown)
  }
}

/** The names of the columns where the last comment before the rows holds them: "#user_id,item_id". */
const commentedHeader = (
  before: string,
  mac: boolean,
  { dialect, rows }: Scan
): ReadonlyArray<string> | undefined => {
  const last = before.trimEnd().split(mac ? /\r/ : /\r?\n/).at(-1) ?? ""
  if (!/^[#%]/.test(last) || rows.length === 0) return undefined
  const [cells = []] = scan(last.replace(/^[#%]+\s*/, ""), true, mac, dialect).rows
  const names = cells.map((cell) => cell.trim())
  return names.length > 1 && names.length === rows[0]!.length && hasHeader(names, rows) === true &&
      hasHeader(rows[0]!.map((cell) => cell.trim()), rows.slice(1)) !== true
    ? names
    : undefined
}

/** Where the rows agree on nothing, the separator that the first row has most of. */
const byFirstRow = (body: string, whole: boolean, mac: boolean): Scan | undefined =>
  best(
    separators.filter((sign) => body.includes(sign)).map((sign) => withSeparator(body, whole, mac, sign))
      .filter(({ rows }) => (rows[0]?.length ?? 0) > 1),
    ({ rows }) => [rows[0]!.length]
  )

/** Runs of spaces divide every row alike, or they are no separator. */
const spaceSeparated = (body: string, whole: boolean, mac: boolean): Scan | undefined => {
  if (!body.includes(" ")) return undefined
  const found = withSeparator(body, whole, mac, " ")
  return (found.rows[0]?.length ?? 0) > 1 && found.consistency === 1 ? found : undefined
}

/** One column: the separator is one that the text does not have. */
const single = (body: string, whole: boolean, mac: boolean): Scan =>
  withSeparator(body, whole, mac, [",", ...separators].find((sign) => !body.includes(sign)) ?? "\u0001")
