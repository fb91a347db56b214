/**
 * Amazon Beauty in the format of S3-Rec and P5: `s3rec/*.txt` with lines `user item item ...`, and titles and
 * categories from TransRec's pickled dictionaries, joined by a table of item numbers.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { CatalogError, Unreadable } from "../CatalogError.ts"
import { type Dataset, type Item } from "../Dataset.ts"
import * as NumpyObjects from "../reader/NumpyObjects.ts"
import * as SequenceFile from "./SequenceFile.ts"

/** Reads the folder; item n of the file becomes item n - 1. */
export const load = Effect.fn("S3RecFolder.load")(function*(
  name: string,
  folder: string,
  sequenceFile: string,
  strict: boolean
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const unreadable = (file: string) => (cause: unknown) =>
    new CatalogError({
      reason: new Unreadable({ path: file, detail: cause instanceof Error ? cause.message : String(cause) })
    })
  const readText = (file: string) => fs.readFileString(file).pipe(Effect.mapError(unreadable(file)))
  const readObject = Effect.fnUntraced(function*(file: string) {
    const bytes = yield* fs.readFile(file).pipe(Effect.mapError(unreadable(file)))
    return yield* Effect.try({ try: () => NumpyObjects.decode(bytes), catch: unreadable(file) })
  })

  const { findings, itemKeys, sequences: places, userKeys } = yield* SequenceFile.read(sequenceFile, strict)
  const sequences = places.map((list) => list.map((place) => Number(itemKeys[place]) - 1))
  const count = sequences.reduce((most, list) => list.reduce((a, item) => Math.max(a, item + 1), most), 0)
  const times = yield* readGaps(path.join(folder, "timeweaver", path.basename(sequenceFile)))

  /** Reads the seconds since a user's first event from TimeWeaver's lines: items, a tab, the gaps between events. */
  function readGaps(file: string) {
    return readText(file).pipe(
      Effect.map((text) =>
        text.split("\n").filter((line) => line.trim() !== "").map((line) => {
          let time = 0
          return Float64Array.from((line.split("\t")[1] ?? "").trim().split(/\s+/), (gap) => time += Number(gap))
        })
      ),
      Effect.map((lists) =>
        lists.length === sequences.length && lists.every((list, i) => list.length === sequences[i]!.length)
          ? lists
          : undefined
      ),
      Effect.orElseSucceed(() => undefined)
    )
  }

  const titleFile = path.join(folder, "transrec", "title_maps.npy")
  const categoryFile = path.join(folder, "transrec", "category_map.npy")
  const joinFile = path.join(folder, "derived", "transrec_to_s3rec_item.tsv")
  const titles = (yield* readObject(titleFile)) as { readonly id2title?: Readonly<Record<string, string>> }
  const categories = (yield* readObject(categoryFile)) as {
    readonly id2category?: Readonly<Record<string, ReadonlyArray<ReadonlyArray<string> | string>>>
  }
  if (titles.id2title === undefined || categories.id2category === undefined) {
    return yield* unreadable(titleFile)("it has no id2title, or the other file no id2category")
  }
  const items = Array.from({ length: count }, (_, i): Item => ({
    key: String(i + 1),
    title: String(i + 1),
    description: "",
    brand: "",
    categories: []
  }))
  let named = 0
  for (const line of (yield* readText(joinFile)).split("\n").slice(1)) {
    const [from, to] = line.trim().split(/\s+/)
    const item = Number(to) - 1
    if (from === undefined || from === "" || items[item] === undefined) continue
    named++
    items[item] = {
      ...items[item],
      title: titles.id2title[from] ?? items[item].key,
      categories: [...new Set((categories.id2category[from] ?? []).flat())]
    }
  }
  const dataset: Dataset = {
    name,
    items,
    userKeys,
    sequences,
    ...(times === undefined ? {} : {
      times,
      comparableTimes: false,
      tieShare: times.reduce((sum, list) => sum + list.filter((time, i) => i > 0 && time === list[i - 1]).length, 0) /
        times.reduce((sum, list) => sum + Math.max(0, list.length - 1), 0)
    }),
    counts: [
      { step: "users read", count: sequences.length },
      { step: "items read", count: items.length },
      { step: "items with a title", count: named },
      { step: "events read", count: sequences.reduce((sum, list) => sum + list.length, 0) },
      ...findings.problems
    ],
    malformed: findings.malformed
  }
  return dataset
})
