/**
 * Reader of records from JSON text in constant memory: objects on one or several lines, lists of objects or of cells,
 * also within an object, objects under keys, columns; also Python's dict literals and constants.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { type CatalogError } from "../CatalogError.ts"
import * as FileBytes from "./FileBytes.ts"
import { type Shape, Survey } from "./JsonShape.ts"
import * as Malformed from "./Malformed.ts"
import * as PythonLiteral from "./PythonLiteral.ts"
import * as TextLines from "./TextLines.ts"

/** A record, by field names. */
export type Row = Readonly<Record<string, unknown>>

/** Field for a record's key, where records are the values of one object. */
export const keyField = "_key"

/** Field for such a value, where it is not an object. */
export const valueField = "_value"

/** Receiver of records; `line` is the line on which a record begins, from 1. */
export interface Consumer {
  row(row: Row, line: number): void
  bad(line: number, problem: string, text: string): void
}

const notAnObject = "not a JSON object"

/** Returns whether a text begins like JSON, independent of the file name. */
export const looksLikeJson = (head: string): boolean =>
  /^\ufeff?\s*(?:\{\s*(?:"|'|u'|\}|$)|\[\s*(?:[{["'\]\d-]|u'|null\b|true\b|false\b|None\b|NaN\b|$))/.test(head)

const [quotation, apostrophe, backslash, comma, colon, lf] = [34, 39, 92, 44, 58, 10]
const [brace, bracket, parenthesis] = [123, 91, 40]

/** Constants of JSON and Python, and numbers. */
const tokens = /-?\b(?:NaN|Infinity|nan|inf|None|True|False|null|true|false|undefined)\b|-?\b\d[\d.eE+-]*L?/g

const isJsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const suspicious = /\b(?:NaN|Infinity|nan|inf|null|true|false|undefined)\b|\d{16}|\dL\b/
const isPython = /^\s*[[({]\s*u?'/

/** Returns a number unchanged, or quoted where it would lose digits or is not valid JSON. */
const numberOf = (text: string): string => {
  const [, whole] = /^(-?\d+)(?:\.0+|L)?$/.exec(text) ?? []
  if (whole !== undefined && !Number.isSafeInteger(Number(whole))) return `"${whole}"`
  return isJsonNumber.test(text) ? text : whole !== undefined && text.endsWith("L") ? whole : `"${text}"`
}

/** Returns the end of the string that begins at `from`. */
const stringEnd = (text: string, from: number): number => {
  for (let at = text.indexOf(text[from]!, from + 1); at >= 0; at = text.indexOf(text[from]!, at + 1)) {
    let before = at
    while (text.charCodeAt(before - 1) === backslash) before--
    if ((at - before) % 2 === 0) return at + 1
  }
  return text.length
}

/** Rewrites constants and numbers outside strings for a parser. */
const rewritten = (text: string, nothing: string, yes: string, no: string): string => {
  const word = (token: string) =>
    /^-?\d/.test(token) ? numberOf(token) : /^true$/i.test(token) ? yes : /^false$/i.test(token) ? no : nothing
  const next = (mark: string, from: number) => {
    const at = text.indexOf(mark, from)
    return at < 0 ? text.length : at
  }
  let out = ""
  let [quoted, single] = [next("\"", 0), next("'", 0)]
  for (let at = 0; at < text.length;) {
    if (quoted < at) quoted = next("\"", at)
    if (single < at) single = next("'", at)
    const from = Math.min(quoted, single)
    const to = from < text.length ? stringEnd(text, from) : from
    // The text between strings is mostly a comma or a colon.
    const between = text.slice(at, from)
    out += (between.length < 3 ? between : between.replaceAll(tokens, word)) + text.slice(from, to)
    at = to
  }
  return out
}

const tryJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const tryPython = (text: string): unknown =>
  /^\s*[[({]/.test(text)
    ? PythonLiteral.tryParse(suspicious.test(text) ? rewritten(text, "None", "True", "False") : text)
    : undefined

/** Returns whether no number in an object or list has lost digits, down to a depth of 100. */
const isExact = (value: object, depth = 0): boolean => {
  if (depth > 100) return true
  for (const key in value) {
    const one = (value as Row)[key]
    if (typeof one === "number") {
      if (one > Number.MAX_SAFE_INTEGER || one < -Number.MAX_SAFE_INTEGER) return false
    } else if (typeof one === "object" && one !== null && !isExact(one, depth + 1)) return false
  }
  return true
}

/**
 * Parses a text as JSON or a Python literal; undefined where it is neither. Integers beyond 2^53 become texts of their
 * digits; NaN and Infinity become null.
 */
export const parse = (text: string): unknown => {
  if (text.charCodeAt(1) !== quotation && isPython.test(text)) return tryPython(text)
  const value = tryJson(text)
  if (value === undefined) return tryJson(rewritten(text, "null", "true", "false")) ?? tryPython(text)
  const isSafe = typeof value !== "object" || value === null || isExact(value)
  return isSafe ? value : tryJson(rewritten(text, "null", "true", "false")) ?? value
}

const closers: ReadonlyMap<number, number> = new Map([[125, brace], [93, bracket], [41, parenthesis]])
const isBlank = (code: number) => code === 32 || code === 9 || code === 13 || code === 0xfeff
const isOpener = (code: number) => code === brace || code === bracket

/** Largest number of characters of a damaged record that are kept for display. */
const shown = 200

/** State of the splitter. */
type Mode = "between" | "string" | "record" | "scalar" | "skipping"

/**
 * Splitter of a text into records by brackets and strings. Records are at depth 0 for a sequence of values, 1 in a list
 * or under keys of an object, 2 in a property of an object. After a damaged record it continues at the next line that
 * begins like the record's line.
 */
class Cutter {
  line = 1
  readonly #depth: number
  readonly #property: string | undefined
  readonly #take: (text: string, line: number, key: string | undefined) => void
  readonly #damaged: (text: string, line: number) => void
  #mode: Mode = "between"
  /** Open brackets. */
  readonly #open: Array<number> = []
  #quote = 0
  #isEscaped = false
  #previous = 0
  /** Last string outside records; `#key` is the last key before a colon. */
  #word = ""
  #key: string | undefined
  /** Whether the innermost open bracket outside records holds records. */
  #isInside: boolean
  /** Text from the beginning of the current record or string. */
  #rest = ""
  #start = 0
  #recordLine = 1
  /** Column at which the record begins; -1 where other text precedes it on the line. */
  #recordColumn = -1
  #lineStart = 0
  #isFirst = true

  constructor(
    shape: { readonly depth: number; readonly property?: string | undefined },
    take: (text: string, line: number, key: string | undefined) => void,
    damaged: (text: string, line: number) => void
  ) {
    this.#depth = shape.depth
    this.#property = shape.property
    this.#isInside = shape.depth === 0
    this.#take = take
    this.#damaged = damaged
  }

  get isIdle(): boolean {
    return this.#mode === "between" && this.#open.length === 0
  }

  push(piece: string): void {
    const text = this.#rest + piece
    for (let i = this.#rest.length; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code === lf) this.#lineEnd(text, i)
      else if (this.#quote !== 0) {
        if (this.#isEscaped) this.#isEscaped = false
        else if (code === backslash) this.#isEscaped = true
        else if (code === this.#quote) this.#unquote(text, i)
      } else if (!isBlank(code)) {
        if (this.#mode === "skipping") this.#skip(code, i)
        else this.#step(code, text, i)
        this.#isFirst = false
      }
    }
    const kept = this.#mode === "between" || this.#mode === "skipping" ? text.length : this.#start
    this.#rest = text.slice(kept)
    this.#start = 0
    this.#lineStart -= kept
  }

  /** Abandons an unclosed record. */
  abandon(): void {
    if (this.#mode === "record") this.#damaged(this.#rest.slice(0, shown), this.#recordLine)
    this.#mode = "between"
    this.#open.length = 0
    this.#rest = ""
    this.#lineStart = 0
  }

  /** Ends the text; returns the line of an unclosed bracket or string, if there is one. */
  end(): number | undefined {
    if (this.#depth > 0) {
      return this.#open.length === 0 ? undefined : this.#mode === "between" ? this.line : this.#recordLine
    }
    if (this.#mode === "scalar") this.#finish(this.#rest)
    if (this.#mode === "record") this.abandon()
    return undefined
  }

  #lineEnd(text: string, i: number): void {
    // A string ends within its line.
    if (this.#quote !== 0) {
      this.#quote = 0
      this.#isEscaped = false
      if (this.#mode === "string") this.#mode = "between"
      else this.#break(text, i)
    }
    if (this.#mode === "scalar" && this.#depth === 0) this.#finish(text.slice(this.#start, i))
    this.line++
    this.#lineStart = i + 1
    this.#isFirst = true
  }

  #unquote(text: string, i: number): void {
    this.#quote = 0
    this.#previous = quotation
    if (this.#mode !== "string") return
    this.#word = text.slice(this.#start, i + 1)
    this.#mode = "between"
  }

  #step(code: number, text: string, i: number): void {
    if (this.#mode === "record") this.#inRecord(code, text, i)
    else if (this.#mode === "scalar" && !isOpener(code) && code !== comma && !this.#closes(code)) {
      if (code === quotation || code === apostrophe) this.#quote = code
    } else {
      if (this.#mode === "scalar") this.#finish(text.slice(this.#start, i))
      this.#between(code, i)
    }
  }

  #closes(code: number): boolean {
    const opener = closers.get(code)
    return opener !== undefined && this.#depth > 0 && this.#open.at(-1) === opener
  }

  #inRecord(code: number, text: string, i: number): void {
    if (code === quotation || code === apostrophe) {
      this.#quote = code
      return
    }
    const before = this.#previous
    this.#previous = code
    if (code === parenthesis) this.#open.push(code)
    else if (isOpener(code)) {
      const inObject = this.#open.at(-1) === brace
      if (before === colon || before === bracket || before === parenthesis || (before === comma && !inObject)) {
        this.#open.push(code)
        return
      }
      this.#break(text, i)
      if (this.#mode === "skipping") this.#skip(code, i)
      else this.#between(code, i)
    } else if (closers.has(code)) {
      if (closers.get(code) !== this.#open.at(-1)) return this.#break(text, i + 1)
      this.#open.pop()
      if (this.#open.length === this.#depth) this.#finish(text.slice(this.#start, i + 1))
    }
  }

  /** Handles a character outside records: brackets around them, keys, and beginnings of records. */
  #between(code: number, i: number): void {
    const top = this.#open.at(-1)
    if (this.#isInside && this.#closes(code)) {
      this.#open.pop()
      this.#isInside = false
      this.#key = undefined
    } else if (this.#isInside && code === comma) this.#key = undefined
    else if (this.#isInside && (top !== brace || this.#key !== undefined)) this.#begin(code, i)
    else if (code === quotation || code === apostrophe) {
      this.#quote = code
      this.#start = i
      this.#mode = "string"
    } else if (code === colon) {
      this.#key = String(tryJson(this.#word) ?? PythonLiteral.tryParse(this.#word) ?? this.#word)
    } else if (isOpener(code)) {
      this.#open.push(code)
      this.#isInside = this.#open.length === this.#depth && (this.#depth === 1 || this.#key === this.#property)
      this.#key = undefined
    } else if (closers.get(code) === top && top !== undefined) this.#open.pop()
  }

  #begin(code: number, i: number): void {
    this.#start = i
    this.#recordLine = this.line
    this.#recordColumn = this.#isFirst ? i - this.#lineStart : -1
    this.#mode = isOpener(code) ? "record" : "scalar"
    this.#previous = code
    if (isOpener(code)) this.#open.push(code)
    else if (code === quotation || code === apostrophe) this.#quote = code
  }

  #finish(text: string): void {
    this.#mode = "between"
    this.#take(text, this.#recordLine, this.#key)
    this.#key = undefined
  }

  #break(text: string, to: number): void {
    this.#damaged(text.slice(this.#start, Math.min(to, this.#start + shown)), this.#recordLine)
    this.#open.length = this.#depth
    this.#key = undefined
    // A record on one line ends with the line.
    this.#mode = this.#depth === 0 && this.line === this.#recordLine && text.charCodeAt(to) === lf
      ? "between"
      : "skipping"
  }

  #skip(code: number, i: number): void {
    if (!this.#isFirst) return
    const column = i - this.#lineStart
    const isLike = isOpener(code) && (this.#recordColumn < 0 || column === this.#recordColumn)
    if (!isLike && !(this.#closes(code) && column <= this.#recordColumn)) return
    this.#mode = "between"
    this.#between(code, i)
  }
}

/** Pattern of words in names of columns of users, items and events. */
const columnWords =
  /user|customer|visitor|session|item|product|movie|book|sku|asin|title|name|time|date|rating|score|(?:^|_)id$/i

/** Returns whether the first of two rows of cells names the columns. */
const isHeader = (first: ReadonlyArray<unknown>, second: ReadonlyArray<unknown>): boolean =>
  first.length > 0 && first.every((cell) => typeof cell === "string" && cell !== "") &&
  new Set(first).size === first.length &&
  (second.some((cell) => typeof cell === "number") ||
    first.some((cell) => columnWords.test(cell as string)) && !second.some((cell) => first.includes(cell)))

/** Conversion of values to rows: objects unchanged, lists by their column names. */
class Rows {
  readonly #consumer: Consumer
  readonly #isKeyed: boolean
  #header: ReadonlyArray<string> | undefined
  /** First list, held until the second shows whether it names columns. */
  #first: { readonly cells: ReadonlyArray<unknown>; readonly line: number } | undefined
  #holdsLists: boolean | undefined

  constructor(consumer: Consumer, isKeyed: boolean, header: ReadonlyArray<string> | undefined) {
    this.#consumer = consumer
    this.#isKeyed = isKeyed
    this.#header = header
  }

  take(text: string, line: number, key: string | undefined, isOdd: boolean): void {
    if (isOdd) this.#consumer.bad(line, Malformed.problems.encoding, text)
    else this.give(parse(text), line, key, text)
  }

  give(value: unknown, line: number, key: string | undefined, text: string): void {
    const isList = Array.isArray(value)
    if (this.#isKeyed && value !== undefined) {
      const fields = typeof value === "object" && value !== null && !isList ? value : { [valueField]: value }
      return this.#consumer.row({ [keyField]: key, ...fields }, line)
    }
    if (typeof value !== "object" || value === null) return this.#consumer.bad(line, notAnObject, text)
    this.#holdsLists ??= isList
    if (!isList) return this.#consumer.row(value as Row, line)
    if (!this.#holdsLists) return this.#consumer.bad(line, notAnObject, text)
    this.#list(value, line)
  }

  /** Emits the row still held. */
  end(): void {
    if (this.#first === undefined) return
    const { cells, line } = this.#first
    this.#first = undefined
    this.#header = []
    this.#list(cells, line)
  }

  #list(cells: ReadonlyArray<unknown>, line: number): void {
    if (this.#header === undefined) {
      const first = this.#first
      if (first === undefined) {
        this.#first = { cells, line }
        return
      }
      this.#first = undefined
      const named = isHeader(first.cells, cells)
      this.#header = named ? first.cells as ReadonlyArray<string> : []
      if (!named) this.#list(first.cells, first.line)
    }
    if (this.#header.length > 0 && cells.length > this.#header.length) {
      return this.#consumer.bad(line, "too many columns", JSON.stringify(cells))
    }
    this.#consumer.row(Object.fromEntries(cells.map((cell, at) => [this.#header![at] ?? String(at), cell])), line)
  }
}

/** Returns the layout of a file, from its first lines where they show it, else from the whole file. */
const shapeOf = Effect.fnUntraced(function*(path: string, options: TextLines.Options) {
  const lines = (yield* TextLines.head(path, options)).filter((line) => line.trim() !== "")
  const start = (lines[0] ?? "").trimStart()
  // The last line may be cut off; a very long line is not a record.
  const whole = lines.slice(0, 100).map((line) => /^[{[]/.test(line) && line.length < 1 << 16 ? parse(line) : undefined)
  const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value)
  if (start.startsWith("[")) {
    const [cells] = whole
    // Lists of cells, one per line.
    const isRow = Array.isArray(cells) && cells.length > 0 &&
      cells.every((cell) => typeof cell !== "object" || cell === null)
    return isRow ? { lines: true, depth: 0 } satisfies Shape as Shape : { lines: false, depth: 1 } satisfies Shape
  }
  // Within one large value, consecutive lines with objects are separated by commas.
  if (!start.startsWith("{") || whole.some((value, at) => at > 0 && isObject(value) && isObject(whole[at - 1]))) {
    return { lines: true, depth: 0 } satisfies Shape as Shape
  }
  const survey = new Survey()
  yield* TextLines.pieces(path, (text) => survey.push(text), options)
  return survey.shape
})

/** Converts columns, `{"user": ["u1", ...], "item": [...]}`, to rows. */
const transposed = (table: Row): ReadonlyArray<Row> => {
  const columns = Object.entries(table).map(([name, values]) => [name, Object.entries(values as object)] as const)
  const rows = new Map<string, Array<[string, unknown]>>()
  for (const [name, values] of columns) {
    for (const [at, value] of values) {
      const row = rows.get(at)
      if (row === undefined) rows.set(at, [[name, value]])
      else row.push([name, value])
    }
  }
  return Array.from(rows.values(), (row) => Object.fromEntries(row))
}

const unclosed = (path: string, line: number | undefined) =>
  line === undefined ? Effect.void : Effect.fail(
    FileBytes.unreadable(
      path,
      `the value that begins in line ${line} is not closed; the JSON is damaged or cut off, download it again`
    )
  )

/** Calls the consumer with every record of a file in order, and with damaged records; skips blank lines. */
export const forEach: (
  path: string,
  consumer: Consumer,
  options?: TextLines.Options
) => Effect.Effect<void, CatalogError, FileSystem.FileSystem> = Effect.fn("JsonText.forEach")(
  function*(path, consumer, options = {}) {
    const shape = yield* shapeOf(path, options)
    const rows = new Rows(consumer, shape.isKeyed ?? false, shape.header)
    if (shape.isColumns === true) {
      const table = parse(yield* TextLines.whole(path, options)) as Row | undefined
      if (table === undefined) return yield* unclosed(path, 1)
      for (const [at, row] of transposed(table).entries()) consumer.row(row, at + 1)
      return
    }
    let isOdd = false
    const cutter = new Cutter(
      shape,
      (text, line, key) => rows.take(text, line, key, isOdd && text.includes("\ufffd")),
      (text, line) => consumer.bad(line, notAnObject, text)
    )
    if (shape.lines) {
      const line = (text: string, number: number) => {
        const isBegun = !cutter.isIdle
        if (!isBegun && text.charCodeAt(0) !== brace && text.trim() === "") return
        const value = isBegun && !text.startsWith("{") ? undefined : parse(text)
        if (value !== undefined) {
          // A complete value is not part of an unclosed record before it.
          if (isBegun) cutter.abandon()
          return rows.give(value, number, undefined, text)
        }
        if (!isBegun) {
          if (!/^\s*[{[]/.test(text)) return consumer.bad(number, notAnObject, text)
          cutter.line = number
        }
        cutter.push(`${text}\n`)
      }
      yield* TextLines.forEach(path, {
        line,
        undecodable: (number, text) => {
          isOdd = true
          if (cutter.isIdle) consumer.bad(number, Malformed.problems.encoding, text)
          else cutter.push(`${text}\n`)
        }
      }, options)
    } else {
      yield* TextLines.pieces(path, (text, isSound) => {
        isOdd = !isSound
        cutter.push(text)
        return true
      }, options)
    }
    yield* unclosed(path, cutter.end())
    rows.end()
  }
)

/** Returns the records at the beginning of a file, without damaged ones. */
export const head: (
  path: string,
  options?: TextLines.Options
) => Effect.Effect<ReadonlyArray<Row>, CatalogError, FileSystem.FileSystem> = Effect.fn("JsonText.head")(
  function*(path, options = {}) {
    const shape = yield* shapeOf(path, options)
    const found: Array<Row> = []
    if (shape.isColumns === true) {
      const table = parse(yield* TextLines.whole(path, options)) as Row | undefined
      return table === undefined ? [] : transposed(table).slice(0, most)
    }
    const rows = new Rows({ row: (row) => found.push(row), bad: () => {} }, shape.isKeyed ?? false, shape.header)
    const cutter = new Cutter(shape, (text, line, key) => rows.take(text, line, key, false), () => {})
    let seen = 0
    const take = (text: string) => {
      cutter.push(text)
      seen += text.length
      return found.length < most && (found.length === 0 || seen < 1 << 19)
    }
    if (shape.lines) take((yield* TextLines.head(path, options)).slice(0, most).join("\n"))
    else yield* TextLines.pieces(path, take, options)
    rows.end()
    return found.slice(0, most)
  }
)

/** Largest number of records from the beginning of a file. */
const most = 1000
