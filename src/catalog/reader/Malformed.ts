/**
 * Malformed rows: counted by kind, with the first five kept, and the check that fails when they are too many.
 */
import * as Effect from "effect/Effect"
import { BadRow, CatalogError, MostlyMalformed } from "../CatalogError.ts"
import { type Count, type Malformed } from "../Dataset.ts"

/** Number of malformed rows kept with their lines. */
export const kept = 5

/** Descriptions of problems with a row; functions take the name of the column. */
export const problems = {
  encoding: "bytes that are not UTF-8",
  missing: (column: string) => `no ${column}`,
  time: (column: string) => `${column} is neither a number nor a date`,
  rating: (column: string) => `${column} is not a number`
} as const

/** Returns the name of a column of times, or of the date and clock columns. */
export const columnName = (time: string | { readonly date: string; readonly clock: string } | undefined): string =>
  time === undefined ? "" : typeof time === "string" ? time : `${time.date} with ${time.clock}`

/** Numbers of rows and malformed rows of a file. */
export interface Findings {
  /** Number of all rows, usable or not. */
  readonly rows: number
  /** Number of malformed rows of each kind. */
  readonly problems: ReadonlyArray<Count>
  /** First malformed rows, at most five, in the order of the file. */
  readonly malformed: ReadonlyArray<Malformed>
  /** Number of rows without a user or an item, which are skipped but not malformed. @default 0 */
  readonly absent?: number | undefined
  /** Remarks on the file, such as its encoding. */
  readonly notes?: ReadonlyArray<string> | undefined
}

/** Largest number of characters of a value shown. */
const longest = 120

/** Counter of malformed rows of one file, or of several read as one table. */
export class Tally {
  /** Number of all rows, usable or not; set by the reader. */
  rows = 0
  readonly #file: string
  readonly #what: string
  readonly #counts = new Map<string, number>()
  #absent = 0
  readonly #first: Array<Malformed> = []

  constructor(file: string, what = "rows") {
    this.#file = file
    this.#what = what
  }

  /** Adds to the count of one kind without keeping rows. */
  count(problem: string, count: number): void {
    if (count <= 0) return
    this.#counts.set(problem, (this.#counts.get(problem) ?? 0) + count)
    if (problem.startsWith("no ")) this.#absent += count
  }

  /** Counts a row, and keeps it if it is among the first five. */
  add(line: number, problem: string, value: unknown, file: string = this.#file): void {
    this.count(problem, 1)
    if (this.#first.length === 2 * kept) return
    const text = value === null || value === undefined || value === ""
      ? "empty"
      : typeof value === "string"
      ? value
      : JSON.stringify(value)
    this.#first.push({
      file,
      line,
      problem,
      value: text.length > longest ? `${text.slice(0, longest - 3)}...` : text
    })
  }

  /** Adds the findings of another reader of the same rows. */
  join(found: Findings): void {
    for (const { count, step } of found.problems) this.count(step.replace(`${this.#what} left out: `, ""), count)
    this.#first.push(...found.malformed)
  }

  /** Findings so far. */
  get findings(): Findings {
    return {
      rows: this.rows,
      absent: this.#absent,
      problems: [...this.#counts].map(([problem, count]) => ({ step: `${this.#what} left out: ${problem}`, count })),
      malformed: this.#first
        .toSorted((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1))
        .slice(0, kept)
    }
  }
}

/** Joins the findings of several files. */
export const joined = (all: ReadonlyArray<Findings>): Findings => {
  const counts = new Map<string, number>()
  for (const { problems } of all) {
    for (const { count, step } of problems) counts.set(step, (counts.get(step) ?? 0) + count)
  }
  return {
    rows: all.reduce((sum, { rows }) => sum + rows, 0),
    absent: all.reduce((sum, { absent = 0 }) => sum + absent, 0),
    problems: [...counts].map(([step, count]) => ({ step, count })),
    malformed: all.flatMap(({ malformed }) => malformed).slice(0, kept),
    notes: [...new Set(all.flatMap(({ notes = [] }) => notes))]
  }
}

/**
 * Fails with the first malformed row when `strict`, and always when more than half of the rows are malformed. Rows
 * without a user or an item are not counted, because most events of a shop may be anonymous.
 */
export const settle = (file: string, findings: Findings, strict: boolean): Effect.Effect<void, CatalogError> => {
  const [first] = findings.malformed
  if (first === undefined) return Effect.void
  if (strict) {
    return Effect.fail(
      new CatalogError({
        reason: new BadRow({
          file: first.file,
          line: first.line,
          field: "the entry",
          value: `${first.value} (${first.problem})`,
          remedy: "without --strict such rows are counted and left out"
        })
      })
    )
  }
  const { absent = 0, notes = [], rows } = findings
  const count = findings.problems.reduce((sum, problem) => sum + problem.count, 0) - absent
  return 2 * count <= rows - absent ? Effect.void : Effect.fail(
    new CatalogError({
      reason: new MostlyMalformed({
        file,
        malformed: count,
        rows: findings.rows,
        first: `${first.problem} (${first.value}) in line ${first.line}`,
        ...(first.problem === problems.encoding ? { notes: [...notes] } : {})
      })
    })
  )
}
