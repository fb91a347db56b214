/**
 * Folders in the format of LightGCN: `train.txt` and `test.txt` with lines `user item item ...`, and optionally
 * `item_list.txt` and `user_list.txt` with the original keys.
 *
 * The split of the folder is kept: every test item of a user is a target after the user's training items. The files are
 * not ordered by time and have no validation part, so a user's last training item is the validation target.
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Assemble from "../Assemble.ts"
import { type Dataset } from "../Dataset.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as TextLines from "../reader/TextLines.ts"

const fileNames = ["train.txt", "valid.txt", "test.txt"] as const

/** Returns the files of a folder in this format, by part; undefined for other folders. */
export const find = (
  names: ReadonlyArray<string>
): ReadonlyArray<{ readonly file: string; readonly part: number }> | undefined => {
  const files = fileNames.flatMap((name, part) => {
    const file = names.find((one) => [name, `${name}.gz`].includes(one.toLowerCase()))
    return file === undefined ? [] : [{ file, part }]
  })
  return files.some(({ part }) => part === 0) && files.some(({ part }) => part === 2) ? files : undefined
}

/** Returns whether the first lines of a file are users with their items; a user may have no items. */
export const isOne = Effect.fn("LightGcnFolder.isOne")(function*(file: string) {
  const lines = (yield* TextLines.head(file)).filter((line) => line.trim() !== "").slice(0, 50)
  return lines.length > 0 && lines.every((line) => /^\d+(\s+\d+)*\s*$/.test(line)) &&
    lines.some((line) => line.trim().split(/\s+/).length !== 2) &&
    new Set(lines.map((line) => line.trim().split(/\s+/)[0])).size === lines.length
})

/** Reads the original keys by number, from a file with a header line and rows `original number`. */
const keysOf = Effect.fnUntraced(function*(file: string | undefined) {
  const keys = new Map<string, string>()
  if (file === undefined) return keys
  for (const line of (yield* TextLines.whole(file)).split("\n").slice(1)) {
    const [original, number] = line.trim().split(/\s+/)
    if (original !== undefined && number !== undefined) keys.set(number, original)
  }
  return keys
})

/** Reads the folder. */
export const load = Effect.fn("LightGcnFolder.load")(function*(
  name: string,
  folder: string,
  files: ReadonlyArray<{ readonly file: string; readonly part: number }>,
  names: ReadonlyArray<string>,
  strict: boolean
) {
  const path = yield* Path.Path
  const listed = (list: string) => names.includes(list) ? path.join(folder, list) : undefined
  const [itemKeys, userKeys] = [yield* keysOf(listed("item_list.txt")), yield* keysOf(listed("user_list.txt"))]
  const numbers = new Map<string, number>()
  const users = new Map<string, { items: Array<number>; parts: Array<number> }>()
  const found: Array<Malformed.Findings> = []
  for (const { file, part } of files) {
    const at = path.join(folder, file)
    const tally = new Malformed.Tally(at)
    yield* TextLines.forEach(at, {
      line: (text, line) => {
        if (text.trim() === "") return
        tally.rows++
        const [user, ...items] = text.trim().split(/\s+/) as [string, ...Array<string>]
        const bad = [user, ...items].find((cell) => !/^\d+$/.test(cell))
        if (bad !== undefined) return tally.add(line, "an item that is not a number", bad)
        let own = users.get(user)
        if (own === undefined) users.set(user, own = { items: [], parts: [] })
        for (const item of items) {
          if (!numbers.has(item)) numbers.set(item, numbers.size)
          own.items.push(numbers.get(item)!)
          own.parts.push(part)
        }
      },
      undecodable: (line) => {
        tally.rows++
        tally.add(line, Malformed.problems.encoding, "not shown")
      }
    })
    yield* Malformed.settle(at, tally.findings, strict)
    found.push(tally.findings)
  }
  const met = [...users].filter(([, { items }]) => items.length > 0)
  const sequences = met.map(([, { items }]) => Int32Array.from(items))
  const { malformed, problems } = Malformed.joined(found)
  const dataset: Dataset = {
    name,
    items: [...numbers.keys()].map((key) => Assemble.nameless(itemKeys.get(key) ?? key)),
    userKeys: met.map(([user]) => userKeys.get(user) ?? user),
    sequences,
    split: Assemble.splitByParts(sequences, met.map(([, { parts }]) => Uint8Array.from(parts))),
    counts: [
      { step: "users read", count: met.length },
      { step: "events read", count: sequences.reduce((sum, list) => sum + list.length, 0) },
      ...problems
    ],
    malformed,
    notes: [
      `${files.map(({ file }) => file).join(", ")} are the split; items of a user are in the order of the file, ` +
      "which may not be chronological"
    ]
  }
  return dataset
})
