/**
 * Folders in the format of LETTER and LC-Rec: `*.inter.json` (user to items in order) and `*.item.json` (item to
 * texts), plain or gzipped.
 */
import * as Effect from "effect/Effect"
import { CatalogError, Unreadable } from "../CatalogError.ts"
import { type Dataset, type Item } from "../Dataset.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as TextLines from "../reader/TextLines.ts"

const readJson = Effect.fnUntraced(function*(path: string) {
  const unreadable = (detail: string) => new CatalogError({ reason: new Unreadable({ path, detail }) })
  const text = yield* TextLines.whole(path)
  const value = yield* Effect.try({
    try: () => JSON.parse(text) as unknown,
    catch: (cause) => unreadable((cause as Error).message)
  })
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Readonly<Record<string, unknown>>
    : yield* unreadable("it is not a JSON object")
})

const words = (value: unknown): string => (typeof value === "string" ? value : "")

/** Reads the items of a `*.item.json`, in the order of the object's keys. */
export const readItems = Effect.fn("LetterFolder.readItems")(function*(file: string) {
  const texts = yield* readJson(file)
  return Object.entries(texts).map(([key, value]): Item => {
    const entry = (value ?? {}) as Readonly<Record<string, unknown>>
    const categories = entry["categories"]
    return {
      key,
      title: words(entry["title"]) || key,
      description: words(entry["description"]),
      brand: words(entry["brand"]),
      categories: Array.isArray(categories)
        ? categories.map(String)
        : words(categories).split(",").map((part) => part.trim()).filter((part) => part !== "")
    }
  })
})

/** Reads the two files; users stand in the order of the file. The line of a malformed entry is the entry's number. */
export const load = Effect.fn("LetterFolder.load")(function*(
  name: string,
  interFile: string,
  itemFile: string,
  strict: boolean
) {
  const inter = yield* readJson(interFile)
  const items = yield* readItems(itemFile)
  const number = new Map(items.map(({ key }, i) => [key, i]))
  const userKeys: Array<string> = []
  const sequences: Array<Int32Array> = []
  const tally = new Malformed.Tally(interFile, "users")
  for (const [at, [user, list]] of Object.entries(inter).entries()) {
    tally.rows++
    if (!Array.isArray(list)) {
      tally.add(at + 1, "not a list of items", list)
      continue
    }
    const unknown = list.findIndex((item) => !number.has(String(item)))
    if (unknown >= 0) {
      const value = `item ${unknown + 1} of user ${user} is ${String(list[unknown])}`
      tally.add(at + 1, "an item that the item table lacks", value)
      continue
    }
    userKeys.push(user)
    sequences.push(Int32Array.from(list, (item) => number.get(String(item))!))
  }
  const { findings } = tally
  yield* Malformed.settle(interFile, findings, strict)
  const dataset: Dataset = {
    name,
    items,
    userKeys,
    sequences,
    counts: [
      { step: "users read", count: sequences.length },
      { step: "items read", count: items.length },
      { step: "events read", count: sequences.reduce((sum, list) => sum + list.length, 0) },
      ...findings.problems
    ],
    malformed: findings.malformed
  }
  return dataset
})
