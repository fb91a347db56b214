/**
 * Netflix Prize: blocks of a movie number and its ratings, in `combined_data_*.txt` or `training_set/mv_*.txt`, and
 * `movie_titles.csv` with number, year and title.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Assemble from "../Assemble.ts"
import { CatalogError, NoEvents } from "../CatalogError.ts"
import { type Item } from "../Dataset.ts"
import * as EventLog from "../EventLog.ts"
import * as EventTime from "../reader/EventTime.ts"
import * as Malformed from "../reader/Malformed.ts"
import * as TextLines from "../reader/TextLines.ts"
import { type LoadOptions } from "../table/EventTable.ts"

/** Returns whether the first lines of a file are a movie and its ratings. */
export const isOne = Effect.fn("NetflixPrize.isOne")(function*(file: string) {
  const [movie = "", ...ratings] = (yield* TextLines.head(file)).slice(0, 50)
  return /^\d+:\s*$/.test(movie) && /^\d+,\d,\d{4}-\d{2}-\d{2}\s*$/.test(ratings[0] ?? "")
})

/** Returns the files of ratings in a folder and the file of titles, by their names. */
export const find = Effect.fn("NetflixPrize.find")(function*(folder: string, names: ReadonlyArray<string>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const ratings = /^(combined_data_\d+|mv_\d+)\.txt(\.gz)?$/i
  const inside = names.includes("training_set")
    ? (yield* fs.readDirectory(path.join(folder, "training_set")).pipe(Effect.orElseSucceed((): Array<string> => [])))
      .map((name) => path.join("training_set", name))
    : []
  const titles = names.find((name) => /^movie_titles\.(csv|txt)(\.gz)?$/i.test(name))
  return {
    ratings: [...names, ...inside.toSorted()].filter((name) => ratings.test(path.basename(name)))
      .map((name) => path.join(folder, name)),
    titles: titles === undefined ? undefined : path.join(folder, titles)
  }
})

/** Reads the ratings, and the titles if there are any. */
export const load = Effect.fn("NetflixPrize.load")(function*(
  name: string,
  files: ReadonlyArray<string>,
  titles: string | undefined,
  { filter, seed, strict }: LoadOptions
) {
  const log = EventLog.builder()
  const days = new Map<string, number>()
  const found: Array<Malformed.Findings> = []
  for (const file of files) {
    const tally = new Malformed.Tally(file)
    let movie = ""
    yield* TextLines.forEach(file, {
      line: (text, line) => {
        if (text.trim() === "") return
        const named = /^(\d+):\s*$/.exec(text)
        if (named !== null) {
          movie = named[1]!
          return
        }
        tally.rows++
        const [, user, rating, day] = /^(\d+),(\d),(\d{4}-\d{2}-\d{2})\s*$/.exec(text) ?? []
        if (user === undefined || movie === "") return tally.add(line, "not a user, a rating and a date", text)
        let time = days.get(day!)
        if (time === undefined) days.set(day!, time = EventTime.parse(day!))
        if (Number.isNaN(time)) return tally.add(line, Malformed.problems.time("the date"), day)
        log.add(user, movie, time, Number(rating))
      },
      undecodable: (line) => {
        tally.rows++
        tally.add(line, Malformed.problems.encoding, "not shown")
      }
    })
    yield* Malformed.settle(file, tally.findings, strict)
    found.push(tally.findings)
  }
  if (log.size === 0) {
    return yield* new CatalogError({ reason: new NoEvents({ detail: `${files.join(", ")} have no ratings` }) })
  }
  const items = new Map<string, Item>()
  if (titles !== undefined) {
    // Titles are latin-1, may contain commas, and are not quoted.
    for (const line of (yield* TextLines.whole(titles, { encoding: "windows-1252" })).split(/\r?\n/)) {
      const [, key, title] = /^(\d+),[^,]*,(.+)$/.exec(line.trim()) ?? []
      if (key !== undefined) items.set(key, { ...Assemble.nameless(key), title: title! })
    }
  }
  const { malformed, problems } = Malformed.joined(found)
  const dataset = Assemble.assemble(name, log.build(), items, {
    filter,
    seed,
    core: 0,
    firstOnly: false,
    malformed,
    before: [{ step: "events read", count: log.size }, ...problems],
    itemTable: titles !== undefined
  })
  return { ...dataset, notes: [`read as the Netflix Prize: ratings below their movie, in ${files.length} file(s)`] }
})
