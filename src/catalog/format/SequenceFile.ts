/**
 * Files of sequences, plain or gzipped: one user per line, `user item item ...`, oldest first, as in S3-Rec and P5; or
 * JSON arrays of items, one session per line, in one array, or by user in one object. Lines that begin with the number
 * of their items, as in CiteULike's `users.dat`, are users in order.
 */
import * as Effect from "effect/Effect"
import { CatalogError, NoEvents } from "../CatalogError.ts"
import * as EventTime from "../reader/EventTime.ts"
import * as JsonText from "../reader/JsonText.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as TextLines from "../reader/TextLines.ts"
import { columnOf } from "../table/ColumnRoles.ts"

/** Sequences of a file. */
export interface Sequences {
  readonly userKeys: ReadonlyArray<string>
  /** Keys of the items in the order of their first occurrence. */
  readonly itemKeys: ReadonlyArray<string>
  /** Items of each user as indices into `itemKeys`. */
  readonly sequences: ReadonlyArray<Int32Array>
  readonly findings: Malformed.Findings
  readonly notes?: ReadonlyArray<string> | undefined
}

/** Returns whether a file may hold sequences by its name. */
export const isNamed = (name: string): boolean =>
  !name.endsWith("sidereal.json") && /\.(txt|dat|data|json|jsonl)(\.gz)?$/i.test(name)

/** Returns the file of sequences among several: `users.dat` of CiteULike, and never a file of sampled negatives. */
export const mainOf = (names: ReadonlyArray<string>): string | undefined => {
  const users = names.find((name) => /^users\.dat(\.gz)?$/i.test(name))
  const listed = names.filter((name) => !/(^|[-_.])(samples?|negatives?|neg)([-_.]|$)/i.test(name))
  // A JSON file beside a file of lines holds the items' attributes.
  const lines = listed.filter((name) => !/\.jsonl?(\.gz)?$/i.test(name))
  const main = lines.length > 0 ? lines : listed
  return users ?? (main.length === 1 ? main[0] : names.length === 1 ? names[0] : undefined)
}

const shape = /^\S+(?:[ \t]+\S+){2,}\s*$/

/** Returns the items of a line that is a JSON array of numbers and texts. */
const arrayOf = (line: string): ReadonlyArray<string> | undefined => {
  if (!/^\s*\[.*\]\s*,?\s*$/.test(line)) return undefined
  try {
    const value = JSON.parse(line.trim().replace(/,$/, "")) as unknown
    return Array.isArray(value) && value.every((part) => typeof part === "string" || typeof part === "number")
      ? value.map(String)
      : undefined
  } catch {
    return undefined
  }
}

const isNumber = (text: string): boolean => /^\d+$/.test(text)

const column = (rows: ReadonlyArray<ReadonlyArray<string>>, at: number): ReadonlyArray<string> =>
  rows.map((row) => row[at] ?? "")

/**
 * Returns whether rows are those of a table instead of sequences: all have two cells, or few cells including a time, or
 * are a repeated user, an item and a small number.
 */
const isTabular = (rows: ReadonlyArray<ReadonlyArray<string>>): boolean => {
  const width = rows[0]?.length ?? 0
  if (rows.length < 2 || rows.some((row) => row.length !== width)) return false
  if (width === 2) return true
  const isTime = (at: number) => ["epoch", "date"].includes(EventTime.looksLike(column(rows, at)))
  // Keys of ten digits look like times, but then all cells do.
  const times = width < 7 ? Array.from({ length: width }, (_, at) => at).filter((at) => at > 0 && isTime(at)) : []
  if (times.length === 1 && times[0]! > 1) return true
  const comeAgain = new Set(column(rows, 0)).size < rows.length
  return comeAgain && width === 3 && column(rows, 2).every((cell) => /^-?\d{1,2}(\.\d+)?$/.test(cell))
}

/** Layout of sequences: lines whose first cell is a user or a count, or JSON. */
type Way = "numbers" | "keys" | "counted" | "arrays" | "records"

const headOf = Effect.fnUntraced(function*(file: string) {
  return (yield* TextLines.head(file)).filter((line) => line.trim() !== "").slice(0, 50)
})

/** Returns the user and the items of a record that is a list of items, or a list under its user's key. */
const itemsOf = (
  row: JsonText.Row
): { readonly user: string | undefined; readonly items: ReadonlyArray<string> } | undefined => {
  const { [JsonText.keyField]: user, ...cells } = row
  const values = user === undefined ? Object.values(cells) : cells[JsonText.valueField]
  const isList = user !== undefined || Object.keys(cells).every((key, at) => key === String(at))
  return isList && Array.isArray(values) &&
      values.every((part) => typeof part === "string" || typeof part === "number")
    ? { user: user === undefined ? undefined : String(user), items: values.map(String) }
    : undefined
}

/** Returns whether a JSON file holds lists of items in one array, or under the keys of users. */
const holdsLists = Effect.fnUntraced(function*(file: string) {
  const rows = (yield* JsonText.head(file)).map(itemsOf)
  const lists = rows.filter((row) => row !== undefined)
  return rows.length > 1 && lists.length === rows.length &&
    (lists.every(({ user }) => user !== undefined) || !isTabular(lists.map(({ items }) => items)))
})

const wayOf = (lines: ReadonlyArray<string>): Way | undefined => {
  const most = (test: (line: string) => boolean) => lines.filter(test).length > lines.length / 2
  if (lines.length === 0) return undefined
  // Arrays of equal length whose first one holds names are the rows of a table.
  const arrays = lines.flatMap((line) => [arrayOf(line) ?? []]).filter((cells) => cells.length > 0)
  const [first] = arrays
  const isHeader = first?.every((cell) => /^[\p{L}_ ]+$/u.test(cell)) === true &&
    columnOf("user", first, {}) !== undefined
  if (lines.length > 1 && !isHeader && arrays.length === lines.length) return isTabular(arrays) ? undefined : "arrays"
  const cells = lines.map((line) => line.trim().split(/[ \t]+/))
  if (cells.length > 1 && cells.every((line) => line.every(isNumber) && Number(line[0]) === line.length - 1)) {
    return "counted"
  }
  if (isTabular(cells)) return undefined
  if (most((line) => shape.test(line) && line.trim().split(/\s+/).slice(1).every(isNumber))) return "numbers"
  if (!most((line) => shape.test(line))) return undefined
  const items = cells.flatMap((line) => line.slice(1))
  // Rows of a table have equally many cells, and prose has few digits.
  const lengths = new Set(cells.map((line) => line.length))
  const users = new Set(cells.map(([user]) => user))
  return items.filter((item) => /\d/.test(item)).length >= 0.9 * items.length && users.size === lines.length &&
      (lengths.size > 1 || isSameKind(items)) && !lines.some((line) => /["{}<>|;]/.test(line))
    ? "keys"
    : undefined
}

/** Returns whether all keys have the same pattern of letters and digits, as those of one catalogue have. */
const isSameKind = (keys: ReadonlyArray<string>): boolean =>
  new Set(keys.map((key) => key.replaceAll(/\d+/g, "0").replaceAll(/[A-Z]+/g, "A").replaceAll(/[a-z]+/g, "a"))).size <=
    Math.max(1, keys.length / 10)

/** Returns whether most of the first lines of a file are sequences. */
export const isOne = Effect.fn("SequenceFile.isOne")(function*(file: string) {
  return (yield* wayIn(file)) !== undefined
})

const wayIn = Effect.fnUntraced(function*(file: string) {
  const lines = yield* headOf(file)
  const way = wayOf(lines)
  if (way !== undefined || !JsonText.looksLikeJson(lines[0] ?? "")) return way
  return (yield* holdsLists(file)) ? "records" as const : undefined
})

/** Returns whether the lines of a file are pairs `user item` without a header, with repeated users. */
export const isPairs = Effect.fn("SequenceFile.isPairs")(function*(file: string) {
  const cells = (yield* headOf(file)).map((line) => line.trim().split(/[ \t]+/))
  return cells.length > 2 && cells.every((line) => line.length === 2 && line.every((cell) => isNumber(cell))) &&
    new Set(cells.map(([user]) => user)).size < cells.length
})

/** Returns the separator of the first pair. */
export const separatorOf = Effect.fn("SequenceFile.separatorOf")(function*(file: string) {
  return /\s+/.exec((yield* headOf(file))[0]?.trim() ?? "")?.[0] ?? " "
})

/** Reads the sequences; keys stay texts, so that 0012 differs from 12. */
export const read = Effect.fn("SequenceFile.read")(function*(file: string, strict: boolean) {
  const way = (yield* wayIn(file)) ?? "keys"
  const userKeys: Array<string> = []
  const sequences: Array<Int32Array> = []
  const numbers = new Map<string, number>()
  const tally = new Malformed.Tally(file)
  const numberOf = (key: string): number => {
    const known = numbers.get(key)
    if (known !== undefined) return known
    numbers.set(key, numbers.size)
    return numbers.size - 1
  }
  const add = (user: string, items: ReadonlyArray<string>) => {
    userKeys.push(user)
    sequences.push(Int32Array.from(items, numberOf))
  }
  if (way === "records") {
    let records = 0
    yield* JsonText.forEach(file, {
      row: (row, line) => {
        tally.rows++
        records++
        const found = itemsOf(row)
        if (found === undefined) return tally.add(line, "not an array of items", JSON.stringify(row))
        if (found.items.length === 0) return tally.add(line, "a user without items", found.user ?? String(records))
        add(found.user ?? String(records), found.items)
      },
      bad: (line, problem, text) => {
        tally.rows++
        tally.add(line, problem, text)
      }
    })
  } else {yield* TextLines.forEach(file, {
      line: (text, line) => {
        if (text.trim() === "") return
        tally.rows++
        const items = way === "arrays" ? arrayOf(text) : text.trim().split(/\s+/)
        if (items === undefined) return tally.add(line, "not an array of items", text)
        const user = way === "arrays" || way === "counted" ? String(line) : items[0]!
        const own = way === "arrays" ? items : items.slice(1)
        const bad = way === "counted" && Number(items[0]) !== own.length
          ? `${items[0]!}, and ${own.length} follow`
          : undefined
        if (bad !== undefined) return tally.add(line, "a wrong number of items", bad)
        const odd = way === "numbers" || way === "counted" ? own.find((item) => !isNumber(item)) : undefined
        if (odd !== undefined) return tally.add(line, "an item that is not a number", odd)
        if (own.length === 0) return tally.add(line, "a user without items", user)
        add(user, own)
      },
      undecodable: (line) => {
        tally.rows++
        tally.add(line, Malformed.problems.encoding, "not shown")
      }
    })}
  const { findings } = tally
  yield* Malformed.settle(file, findings, strict)
  if (sequences.length === 0) {
    return yield* new CatalogError({ reason: new NoEvents({ detail: `${file} has no lines` }) })
  }
  const notes = way === "counted"
    ? [`${file}: every line begins with the number of its items, so users are known by their line`]
    : []
  return { userKeys, itemKeys: [...numbers.keys()], sequences, findings, notes } satisfies Sequences as Sequences
})
