/**
 * MovieLens in the formats of GroupLens: `ratings.csv` with `movies.csv` (or `rating.csv` with `movie.csv`), `u.data`
 * with `u.item` (100K), `ratings.dat` with `movies.dat` (1M, 10M); each plain or gzipped, in upper or lower case.
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Malformed from "../reader/Malformed.ts"
import { type TableForm, TableReader } from "../reader/TableReader.ts"
import * as EventTable from "../table/EventTable.ts"
import * as TableConfig from "../table/TableConfig.ts"

/** Genres of `u.item`, one column of 0 or 1 each, in the order of the columns. */
const genres = [
  "unknown",
  "Action",
  "Adventure",
  "Animation",
  "Children's",
  "Comedy",
  "Crime",
  "Documentary",
  "Drama",
  "Fantasy",
  "Film-Noir",
  "Horror",
  "Musical",
  "Mystery",
  "Romance",
  "Sci-Fi",
  "Thriller",
  "War",
  "Western"
]

const ratingColumns = ["user_id", "item_id", "rating", "timestamp"]
const flagColumns = ["item_id", "title", "released", "video_released", "url", ...genres]
const flags: TableForm = { separator: "|", columns: flagColumns, encoding: "latin1" }
const movies: TableForm = { separator: "::", columns: ["item_id", "title", "genres"] }

/** Drops the remarks on the encoding, which is known for the edition. */
const withoutNotes = (findings: Malformed.Findings): Malformed.Findings => ({ ...findings, notes: [] })

/** Reads the movies of the 100K edition; the genres are the columns with 1. */
const flagged: typeof EventTable.readItems = Effect.fnUntraced(function*({ files }, _, wanted) {
  const { findings, rows } = yield* (yield* TableReader).read(files[0]!, flagColumns, { form: flags, key: "item_id" })
  const items = new Map(
    rows.filter((row) => wanted.has(row[0]!)).map((row) => [row[0]!, {
      key: row[0]!,
      title: row[1] || row[0]!,
      description: "",
      brand: "",
      categories: genres.filter((_, g) => row[5 + g] === "1")
    }])
  )
  return { items, findings: withoutNotes(findings), repeated: 0 }
})

/** Reads the movies of the 1M edition (latin-1) and of the 10M edition (UTF-8). */
const titled: typeof EventTable.readItems = Effect.fnUntraced(function*(source, config, wanted) {
  const read = yield* EventTable.readItems(source, config, wanted)
  return read.findings.problems.some(({ step }) => step.endsWith(Malformed.problems.encoding))
    ? yield* EventTable.readItems({ ...source, form: { ...movies, encoding: "latin1" } }, config, wanted).pipe(
      Effect.map((again) => ({ ...again, findings: withoutNotes(again.findings) }))
    )
    : read
})

/** Editions by their files, with or without `.gz`. */
const editions = [
  { events: "ratings.csv", items: "movies.csv", form: undefined, itemForm: undefined, read: undefined },
  { events: "rating.csv", items: "movie.csv", form: undefined, itemForm: undefined, read: undefined },
  {
    events: "u.data",
    items: "u.item",
    form: { separator: "\t", columns: ratingColumns },
    itemForm: flags,
    read: flagged
  },
  {
    events: "ratings.dat",
    items: "movies.dat",
    form: { separator: "::", columns: ratingColumns },
    itemForm: movies,
    read: titled
  }
]

/** Edition of a folder, with its files. */
export interface Found {
  readonly events: string
  readonly items: string | undefined
  readonly edition: (typeof editions)[number]
}

/** Returns the edition of a folder by its file names, or that of `file`; undefined for other data. */
export const find = (names: ReadonlyArray<string>, file?: string): Found | undefined => {
  for (const edition of editions) {
    const named = (name: string) => names.find((one) => [name, `${name}.gz`].includes(one.toLowerCase()))
    const [events, items] = [named(edition.events), named(edition.items)]
    if (events === undefined || (file !== undefined && file !== events)) continue
    // The name ratings.csv alone is too common.
    if (edition.form === undefined && items === undefined) continue
    return { events, items, edition }
  }
  return undefined
}

/** Reads an edition; without its file of movies, items have no titles. */
export const load = Effect.fn("MovieLens.load")(function*(
  name: string,
  folder: string,
  { edition, events, items }: Found,
  config: TableConfig.TableConfig,
  options: EventTable.LoadOptions
) {
  const path = yield* Path.Path
  const columns = (role: "events" | "items") => TableConfig.found(config, [], role).columns
  return yield* EventTable.load(
    name,
    {
      events: { files: [path.join(folder, events)], columns: columns("events"), form: edition.form },
      items: items === undefined
        ? undefined
        : { files: [path.join(folder, items)], columns: columns("items"), form: edition.itemForm },
      readItems: edition.read
    },
    config,
    options
  )
})
