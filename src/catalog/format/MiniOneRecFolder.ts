/**
 * Folders in the format of MiniOneRec: `*.item.json`, `*.index.json` and `train|valid|test/*.csv` with lists as Python
 * prints them (parsed, never evaluated). The split is kept, and the SIDs are those of the index file.
 *
 * A row holds the events before a target. A user's sequence is assembled from rows as long as each one continues the
 * previous one. Where the training table is incomplete, sequences are incomplete too.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { CatalogError, Unreadable } from "../CatalogError.ts"
import { type Dataset, type Example } from "../Dataset.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as PythonLiteral from "../reader/PythonLiteral.ts"
import { TableReader } from "../reader/TableReader.ts"
import * as LetterFolder from "./LetterFolder.ts"

const partNames = ["train", "valid", "test"] as const

/** Returns whether a folder with these names has this format. */
export const isOne = (names: ReadonlyArray<string>): boolean => lacking(names)?.length === 0

const hasItems = (names: ReadonlyArray<string>): boolean => names.some((name) => name.endsWith(".item.json"))

/** Returns the parts of this format that a folder has. */
export const present = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.filter((name) => /\.(item|index)\.json$/.test(name) || (partNames as ReadonlyArray<string>).includes(name))

/** Returns the parts of this format that a folder lacks; undefined for a folder of another format. */
export const lacking = (names: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  const parts = partNames.filter((part) => names.includes(part))
  const hasIndex = names.some((name) => name.endsWith(".index.json"))
  const isLetter = names.some((name) => /\.inter\.json(\.gz)?$/.test(name))
  const signs = (hasItems(names) ? 1 : 0) + (hasIndex ? 1 : 0) + (parts.length > 0 ? 1 : 0)
  if (isLetter || signs < 2) return undefined
  return [
    ...(hasItems(names) ? [] : ["*.item.json (texts of the items)"]),
    ...partNames.filter((part) => !parts.includes(part)).map((part) => `${part}/ (its *.csv of histories and targets)`)
  ]
}

interface Row {
  readonly user: string
  readonly history: ReadonlyArray<number>
  readonly target: number
}

const columns = ["user_id", "history_item_id", "item_id"]

/** Reads the folder. */
export const load = Effect.fn("MiniOneRecFolder.load")(function*(name: string, folder: string, strict: boolean) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const unreadable = (file: string) => (error: { readonly message: string }) =>
    new CatalogError({ reason: new Unreadable({ path: file, detail: error.message }) })
  const names = yield* fs.readDirectory(folder).pipe(Effect.mapError(unreadable(folder)))
  const items = yield* LetterFolder.readItems(path.join(folder, names.find((file) => file.endsWith(".item.json"))!))
  const numbers = new Map(items.map(({ key }, number) => [Number(key), number]))

  const found: Array<Malformed.Findings> = []
  const read = Effect.fnUntraced(function*(part: (typeof partNames)[number]) {
    if (!names.includes(part)) return []
    const files = (yield* fs.readDirectory(path.join(folder, part)).pipe(Effect.mapError(unreadable(part)))).toSorted()
    const rows: Array<Row> = []
    for (const file of files.filter((one) => one.endsWith(".csv"))) {
      const at = path.join(folder, part, file)
      const table = yield* (yield* TableReader).read(at, columns)
      const tally = new Malformed.Tally(at, `${part} rows`)
      for (const [r, [user, list, target]] of table.rows.entries()) {
        tally.rows++
        const history = PythonLiteral.tryParseList(list ?? "")
        if (history === undefined) {
          tally.add(r + 2, "history_item_id is not a Python list", list)
          continue
        }
        const known = [...history, Number(target)].map((item) => numbers.get(Number(item)))
        const missing = known.indexOf(undefined)
        if (missing >= 0) {
          tally.add(r + 2, "an item that the item table lacks", String([...history, target][missing]))
          continue
        }
        rows.push({ user: user ?? "", history: known.slice(0, -1) as Array<number>, target: known.at(-1)! })
      }
      for (const findings of [table.findings, tally.findings]) {
        yield* Malformed.settle(at, findings, strict)
        found.push(findings)
      }
    }
    return rows
  })
  const train = yield* read("train")
  const valid = yield* read("valid")
  const test = yield* read("test")

  const userNumber = new Map<string, number>()
  for (const { user } of [...train, ...valid, ...test]) if (!userNumber.has(user)) userNumber.set(user, userNumber.size)
  const exampleOf = ({ history, target, user }: Row): Example => ({
    user: userNumber.get(user)!,
    history: Int32Array.from(history),
    target
  })
  const sequences: Array<ReadonlyArray<number>> = Array.from({ length: userNumber.size }, () => [])
  for (const { sequence, user } of joined([...train, ...valid, ...test])) {
    const own = userNumber.get(user)!
    if (sequence.length > sequences[own]!.length) sequences[own] = sequence
  }
  const dataset: Dataset = {
    name,
    items,
    userKeys: [...userNumber.keys()],
    sequences: sequences.map((list) => Int32Array.from(list)),
    split: {
      train: joined(train).map(({ sequence }) => Int32Array.from(sequence)),
      validation: valid.map(exampleOf),
      test: test.map(exampleOf)
    },
    counts: [
      { step: "items read", count: items.length },
      { step: "training rows", count: train.length },
      { step: "validation rows", count: valid.length },
      { step: "test rows", count: test.length },
      { step: "users read", count: userNumber.size },
      {
        step: "validation and test targets that repeat an item of the history",
        count: [...valid, ...test].filter(({ history, target }) => history.includes(target)).length
      },
      ...found.flatMap(({ problems }) => problems)
    ],
    malformed: found.flatMap(({ malformed }) => malformed).slice(0, Malformed.kept)
  }
  return dataset
})

const window = 10

/** Joins the rows of each user that continue the previous row of the same user. */
const joined = (
  rows: ReadonlyArray<Row>
): ReadonlyArray<{ readonly user: string; readonly sequence: ReadonlyArray<number> }> => {
  const open = new Map<string, Array<number>>()
  const done: Array<{ readonly user: string; readonly sequence: ReadonlyArray<number> }> = []
  for (const { history, target, user } of rows) {
    const before = open.get(user)
    const tail = before?.slice(-window)
    if (before !== undefined && tail!.length === history.length && tail!.every((item, i) => item === history[i])) {
      before.push(target)
      continue
    }
    const sequence = [...history, target]
    open.set(user, sequence)
    done.push({ user, sequence })
  }
  return done
}
