/**
 * Sequences as S3-Rec and P5 write them: one user per line, `user item item ...`, oldest first; plain or gzipped.
 */
import * as Effect from "effect/Effect"
import { CatalogError, NoEvents } from "../CatalogError.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as TextLines from "../reader/TextLines.ts"

/** The lines of a file. */
export interface Sequences {
  readonly userKeys: ReadonlyArray<string>
  /** The items' numbers as the file has them. */
  readonly sequences: ReadonlyArray<Int32Array>
  readonly findings: Malformed.Findings
}

/** Files that may hold sequences by their names. */
export const isNamed = (name: string): boolean => /\.txt(\.gz)?$/i.test(name)

const shape = /^\S+(?:[ \t]+\d+){2,}\s*$/

/** Whether most of the first lines of a file are sequences. */
export const isOne = Effect.fn("SequenceFile.isOne")(function*(file: string) {
  const lines = (yield* TextLines.head(file)).filter((line) => line.trim() !== "").slice(0, 50)
  return lines.filter((line) => shape.test(line)).length > lines.length / 2
})

/** Reads the lines; items are numbers. */
export const read = Effect.fn("SequenceFile.read")(function*(file: string, strict: boolean) {
  const userKeys: Array<string> = []
  const sequences: Array<Int32Array> = []
  const tally = new Malformed.Tally(file)
  yield* TextLines.forEach(file, {
    line: (text, line) => {
      const [user, ...items] = text.trim().split(/\s+/)
      if (user === "") return
      tally.rows++
      const bad = items.find((item) => !/^\d{1,9}$/.test(item))
      if (bad !== undefined) return tally.add(line, "an item that is no number", bad)
      if (items.length === 0) return tally.add(line, "a user without items", user)
      userKeys.push(user!)
      sequences.push(Int32Array.from(items, Number))
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
  return { userKeys, sequences, findings } satisfies Sequences as Sequences
})
