/**
 * Sequences as S3-Rec and P5 write them: one user per line, `user item item ...`, oldest first.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { BadRow, CatalogError, NoEvents, Unreadable } from "./CatalogError.ts"

/** The lines of a file. */
export interface Sequences {
  readonly userKeys: ReadonlyArray<string>
  readonly sequences: ReadonlyArray<ReadonlyArray<string>>
}

/** Whether a line could be one: a user and at least two numbered items. */
export const looksLike = (line: string): boolean => /^\S+(?:[ \t]+\d+){2,}\s*$/.test(line)

/** Reads the lines; items are numbers. */
export const read = Effect.fn("SequenceFile.read")(function*(file: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(file).pipe(
    Effect.mapError((error) => new CatalogError({ reason: new Unreadable({ path: file, detail: error.message }) }))
  )
  const userKeys: Array<string> = []
  const sequences: Array<ReadonlyArray<string>> = []
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue
    const [user, ...items] = line.trim().split(/\s+/)
    const bad = items.find((item) => !/^\d+$/.test(item))
    if (bad !== undefined || items.length === 0) {
      return yield* new CatalogError({
        reason: new BadRow({
          file,
          line: i + 1,
          field: "an item",
          value: bad ?? "missing",
          mend: "every line is a user and item numbers, separated by spaces"
        })
      })
    }
    userKeys.push(user!)
    sequences.push(items)
  }
  if (sequences.length === 0) {
    return yield* new CatalogError({ reason: new NoEvents({ detail: `${file} has no lines` }) })
  }
  return { userKeys, sequences } satisfies Sequences
})
