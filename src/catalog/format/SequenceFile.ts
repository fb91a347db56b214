/**
 * Sequences as S3-Rec and P5 write them: one user per line, `user item item ...`, oldest first; or a session per line as
 * a JSON array of items; plain or gzipped.
 */
import * as Effect from "effect/Effect"
import { CatalogError, NoEvents } from "../CatalogError.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as TextLines from "../reader/TextLines.ts"
import { columnOf } from "../table/ColumnRoles.ts"

/** The lines of a file. */
export interface Sequences {
  readonly userKeys: ReadonlyArray<string>
  /** Keys of the items in the order in which they are met. */
  readonly itemKeys: ReadonlyArray<string>
  /** Items of each user as places in `itemKeys`. */
  readonly sequences: ReadonlyArray<Int32Array>
  readonly findings: Malformed.Findings
}

/** Files that may hold sequences by their names. */
export const isNamed = (name: string): boolean => /\.(txt|dat|data|json|jsonl)(\.gz)?$/i.test(name)

const shape = /^\S+(?:[ \t]+\S+){2,}\s*$/

/** The items of a line that is a JSON array of numbers and texts. */
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

/** Whether a line is a row of user, item, rating and time. */
const isRating = ([, , rating, time, ...more]: ReadonlyArray<string>): boolean =>
  more.length === 0 && /^\d(\.\d+)?$/.test(rating ?? "") && /^\d{9,13}$/.test(time ?? "")

/** How the lines of a file hold sequences. */
type Way = "numbers" | "keys" | "arrays"

const headOf = Effect.fnUntraced(function*(file: string) {
  return (yield* TextLines.head(file)).filter((line) => line.trim() !== "").slice(0, 50)
})

const wayOf = (lines: ReadonlyArray<string>): Way | undefined => {
  const most = (test: (line: string) => boolean) => lines.filter(test).length > lines.length / 2
  if (lines.length === 0) return undefined
  // Arrays of one length that begin with names are the rows of a table.
  const [first] = lines.map(arrayOf)
  const isHeader = first?.every((cell) => /^[\p{L}_ ]+$/u.test(cell)) === true &&
    columnOf("user", first, {}) !== undefined
  if (lines.length > 1 && !isHeader && lines.every((line) => arrayOf(line) !== undefined)) return "arrays"
  const cells = lines.map((line) => line.trim().split(/[ \t]+/))
  if (lines.length > 1 && cells.every(isRating)) return undefined
  if (most((line) => shape.test(line) && line.trim().split(/\s+/).slice(1).every(isNumber))) return "numbers"
  if (!most((line) => shape.test(line))) return undefined
  const items = cells.flatMap((line) => line.slice(1))
  // Rows of a table have one number of cells, and prose has few digits.
  const lengths = new Set(cells.map((line) => line.length))
  const users = new Set(cells.map(([user]) => user))
  return items.filter((item) => /\d/.test(item)).length >= 0.9 * items.length && users.size === lines.length &&
      (lengths.size > 1 || isSameKind(items)) && !lines.some((line) => /["{}<>|;]/.test(line))
    ? "keys"
    : undefined
}

/** Whether all keys have one shape, as those of one catalogue do: letters and digits in the same places. */
const isSameKind = (keys: ReadonlyArray<string>): boolean =>
  new Set(keys.map((key) => key.replaceAll(/\d+/g, "0").replaceAll(/[A-Z]+/g, "A").replaceAll(/[a-z]+/g, "a"))).size <=
    Math.max(1, keys.length / 10)

/** Whether most of the first lines of a file are sequences. */
export const isOne = Effect.fn("SequenceFile.isOne")(function*(file: string) {
  return wayOf(yield* headOf(file)) !== undefined
})

/** Whether the lines of a file are pairs `user item` without a header, many of the same users. */
export const isPairs = Effect.fn("SequenceFile.isPairs")(function*(file: string) {
  const cells = (yield* headOf(file)).map((line) => line.trim().split(/[ \t]+/))
  return cells.length > 2 && cells.every((line) => line.length === 2 && line.every((cell) => isNumber(cell))) &&
    new Set(cells.map(([user]) => user)).size < cells.length
})

/** The separator of the first pair. */
export const separatorOf = Effect.fn("SequenceFile.separatorOf")(function*(file: string) {
  return /\s+/.exec((yield* headOf(file))[0]?.trim() ?? "")?.[0] ?? " "
})

/** Reads the lines; keys are texts, so that 0012 is not 12. */
export const read = Effect.fn("SequenceFile.read")(function*(file: string, strict: boolean) {
  const way = wayOf(yield* headOf(file)) ?? "keys"
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
  yield* TextLines.forEach(file, {
    line: (text, line) => {
      if (text.trim() === "") return
      tally.rows++
      const items = way === "arrays" ? arrayOf(text) : text.trim().split(/\s+/)
      if (items === undefined) return tally.add(line, "not an array of items", text)
      const user = way === "arrays" ? String(line) : items[0]!
      const own = way === "arrays" ? items : items.slice(1)
      const bad = way === "numbers" ? own.find((item) => !isNumber(item)) : undefined
      if (bad !== undefined) return tally.add(line, "an item that is no number", bad)
      if (own.length === 0) return tally.add(line, "a user without items", user)
      userKeys.push(user)
      sequences.push(Int32Array.from(own, numberOf))
    },
    undecodable: (line) => {
      tally.rows++
      tally.add(line, Malformed.problems.encoding, "not shown")
    }
  })
  const { findings } = tally
  yield* Malformed.settle(file, findings, strict)
  if (sequences.length === 0) {
    return yield* new CatalogError({ reason: new NoEvents({ detail: `${file} has no lines` }) })
  }
  return { userKeys, itemKeys: [...numbers.keys()], sequences, findings } satisfies Sequences as Sequences
})
