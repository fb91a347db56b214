/**
 * Detection of the layout of delimited text from its first rows: separator, quotes, line ends, header, comments.
 */
import * as EventTime from "./EventTime.ts"
import * as MissingWords from "./MissingWords.ts"

/** Layout of a table, and its first rows. RFC 4180 is assumed where the text shows nothing else. */
export interface Format {
  /** One of `,` tab `;` `|` `::` `^` U+0001, or a space for runs of spaces. */
  readonly separator: string
  /** Absent where quotation marks are part of the cells. */
  readonly quote: "\"" | "'" | undefined
  /** Escape of a quotation mark inside a quoted cell. */
  readonly escape: "doubled" | "backslash"
  /** Whether spaces after a separator are ignored. */
  readonly skipSpace: boolean
  /** Whether the first row names the columns; undefined where the rows do not show it. */
  readonly header: boolean | undefined
  readonly lineEnd: "\n" | "\r\n" | "\r" | "mixed"
  /** Lines before the first row: comments with # or %, blank lines, and the "sep=;" of spreadsheets. */
  readonly commentLines: number
  /** Trimmed cells of the first row, header or not. */
  readonly columns: ReadonlyArray<string>
  /** At most 50 complete rows after the first, without blank rows. */
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
}

/** Separators, the more likely ones first, for ties. */
const separators = ["\t", "\u0001", "::", ";", "|", ",", "^"]
/** Largest numbers of rows returned and examined. */
const [shown, seen] = [50, 1000]
/** Largest length of an unclosed quoted cell at the end of a truncated head; longer ones are not quoted cells. */
const longestOpen = 8192
/** Heads with fewer characters than this are whole files: 64 KiB has more characters in any encoding. */
const wholeBelow = 21_000
/** Difference of consistency below which two separators tie; then the one with more columns wins. */
const leeway = 0.1
/** Minimum share of rows with as many cells as the first row. */
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
  /** Number of properly quoted cells. */
  readonly quoted: number
  /** Number of cells with an opening quote and no closing one. */
  readonly broken: number
  /** Whether some column is quoted in every row after the first, of at least two. */
  readonly alwaysQuoted: boolean
  /** Kinds of line ends outside quotes. */
  readonly ends: ReadonlySet<string>
  /** Share of rows with as many cells as the first; rows with one more cell count 0.9. */
  readonly consistency: number
}

/** Returns whether lone carriage returns end lines. */
const isMac = (text: string): boolean => {
  const lone = text.match(/\r(?!\n|$)/g)?.length ?? 0
  return lone > 0 && lone >= (text.match(/\n/g)?.length ?? 0)
}

/** Splits the text by one dialect. */
const scan = (text: string, whole: boolean, mac: boolean, dialect: Dialect): Scan => {
  const { escape, quote, separator, skipSpace } = dialect
  const spaced = separator === " "
  const ends = new Set<string>()
  const rows: Array<ReadonlyArray<string>> = []
  /** Number of rows with the column quoted, by column. */
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
  /** Reads a quoted cell after its opening quote; undefined where no quote closes it. */
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
        // The quote was an ordinary character; the cell ends at the next separator.
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
  // R omits the header of the row names; other programs end rows with a separator.
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

/** Returns the value with the greatest measures in lexicographic order; ties go to the first. */
const best = <A>(values: ReadonlyArray<A>, measure: (value: A) => ReadonlyArray<number>): A | undefined =>
  values.map((value) => [value, measure(value)] as const).toSorted(([, a], [, b]) => {
    const differs = a.findIndex((value, i) => value !== b[i])
    return differs < 0 ? 0 : b[differs]! - a[differs]!
  })[0]?.[0]

/** Returns the scan of the best dialect with a separator. */
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
  // Cells that need quotes may follow later.
  return found === undefined && text.includes("\"") ? plain : { ...plain, dialect: { ...plain.dialect, quote: "\"" } }
}

/** Returns whether files with the separator usually quote cells, as in RFC 4180. */
const isUsuallyQuoted = (separator: string): boolean => separator === "," || separator === ";"

const number = /^\s*[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:e[+-]?\d+)?\s*$/i
/** Pattern of an id, such as B00005, u17 or 10.1/x-5: at least one digit and no spaces. */
const code = /^(?=\S*\d)\S+$/
const name = /^[\p{L}_][^\d\n]{0,60}$/u

type Kind = "missing" | "value" | "code" | "name" | "text"

/** Returns the kind of a cell; numbers and dates are values. */
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

/** Words in usual column names of this domain. */
const columnWords = new Set(
  ("user item id uid iid userid itemid visitor visitorid customer member client session product sku asin movie book " +
    "song track artist album business game app article news title name description rating ratings score stars review " +
    "time timestamp date datetime ts event action behavior type category categories genre genres brand price quantity " +
    "count text summary url tags label author year click clicks image").split(" ")
)
/** Returns whether a cell is a usual column name: without spaces one such word suffices, with spaces all must be. */
const isColumnName = (cell: string): boolean => {
  const words = cell.trim().replace(/([\p{Ll}\d])(\p{Lu})/gu, "$1 $2").toLowerCase().split(/[\s_.:-]+/).filter(Boolean)
  const known = (word: string) => columnWords.has(word)
  return name.test(cell.trim()) && (/\s/.test(cell.trim()) ? words.every(known) : words.some(known))
}

/** Returns whether the first row names the columns, by comparison with the rows below; undefined where open. */
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

/** Finds the leading lines that are not rows: their number, their length, and the separator named by "sep=". */
const preamble = (text: string, mac: boolean) => {
  let [lines, at, separator] = [0, 0, undefined as string | undefined]
  const ends = mac ? /\r\n|\n|\r/g : /\n/g
  while (at < text.length) {
    ends.lastIndex = at
    const end = ends.exec(text)
    const line = text.slice(at, end?.index).trim()
    const named = lines === 0 ? /^"?sep=(.|::)"?$/i.exec(line)?.[1] : undefined
    if (named === undefined && line !== "" && !/^[#%]/.test(line)) break
    // Where all lines begin like comments, they are data.
    if (end === null) return { lines: 0, at: 0, separator: undefined }
    separator ??= named
    lines++
    at = end.index + end[0].length
  }
  return at >= text.length ? { lines: 0, at: 0, separator: undefined } : { lines, at, separator }
}

/**
 * Detects the layout of a table from its head, which may end in the middle of a line.
 *
 * The separator is the one that splits most rows, quotes respected, into as many cells as the first; a text that no
 * separator splits is a table of one column; `given` fixes the separator. `whole` says that the head is the whole file,
 * so that its last line counts without a line end (default: a head below 21,000 characters).
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
  // R omits the header of the row names.
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

/** Returns the column names in the last comment before the rows, as in "#user_id,item_id". */
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

/** Scans with the most frequent separator of the first row, for rows of unequal lengths. */
const byFirstRow = (body: string, whole: boolean, mac: boolean): Scan | undefined =>
  best(
    separators.filter((sign) => body.includes(sign)).map((sign) => withSeparator(body, whole, mac, sign))
      .filter(({ rows }) => (rows[0]?.length ?? 0) > 1),
    ({ rows }) => [rows[0]!.length]
  )

/** Scans with runs of spaces as separator; undefined unless all rows have equally many cells. */
const spaceSeparated = (body: string, whole: boolean, mac: boolean): Scan | undefined => {
  if (!body.includes(" ")) return undefined
  const found = withSeparator(body, whole, mac, " ")
  return (found.rows[0]?.length ?? 0) > 1 && found.consistency === 1 ? found : undefined
}

/** Scans as one column, with a separator that the text does not contain. */
const single = (body: string, whole: boolean, mac: boolean): Scan =>
  withSeparator(body, whole, mac, [",", ...separators].find((sign) => !body.includes(sign)) ?? "\u0001")
