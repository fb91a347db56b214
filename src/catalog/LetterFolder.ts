/**
 * Folders in the form of LETTER and LC-Rec: `*.inter.json` (user to items in order) and `*.item.json` (item to texts).
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { BadRow, CatalogError, Unreadable } from "./CatalogError.ts"
import { type Dataset, type Item } from "./Dataset.ts"

const readJson = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const unreadable = (error: { readonly message: string }) =>
    new CatalogError({ reason: new Unreadable({ path, detail: error.message }) })
  const text = yield* fs.readFileString(path).pipe(Effect.mapError(unreadable))
  return yield* Effect.try({
    try: () => JSON.parse(text) as Record<string, unknown>,
    catch: (cause) => unreadable(cause as Error)
  })
})

const words = (value: unknown): string => (typeof value === "string" ? value : "")

/** The items of a `*.item.json`, numbered as they are named. */
export const readItems = Effect.fn("LetterFolder.readItems")(function*(file: string) {
  const texts = yield* readJson(file)
  return Object.entries(texts).map(([key, value]): Item => {
    const entry = value as Record<string, unknown>
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

/** Reads the two files; users stand in the order of the file. */
export const load = Effect.fn("LetterFolder.load")(function*(name: string, interFile: string, itemFile: string) {
  const inter = yield* readJson(interFile)
  const items = yield* readItems(itemFile)
  const number = new Map(items.map(({ key }, i) => [key, i]))
  const sequences: Array<Int32Array> = []
  for (const [line, [user, list]] of Object.entries(inter).entries()) {
    const bad = (field: string, value: unknown, mend: string) =>
      new CatalogError({
        reason: new BadRow({ file: interFile, line: line + 1, field, value: JSON.stringify(value) ?? "nothing", mend })
      })
    if (!Array.isArray(list)) return yield* bad(`the entry of user ${user}`, list, "it must be a list of items")
    const sequence = new Int32Array(list.length)
    for (const [i, item] of list.entries()) {
      const known = number.get(String(item))
      if (known === undefined) {
        return yield* bad(`item ${i + 1} of user ${user}`, item, `${itemFile} has no such item`)
      }
      sequence[i] = known
    }
    sequences.push(sequence)
  }
  const dataset: Dataset = {
    name,
    items,
    userKeys: Object.keys(inter),
    sequences,
    counts: [
      { step: "users read", count: sequences.length },
      { step: "items read", count: items.length },
      { step: "events read", count: sequences.reduce((sum, list) => sum + list.length, 0) }
    ]
  }
  return dataset
})
