/**
 * Any recognised data set by its path: the form is found by names and content.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { type Archive } from "./Archive.ts"
import { CatalogError, NoEvents, TooFewItems, UnknownForm, Unreadable } from "./CatalogError.ts"
import { type Dataset } from "./Dataset.ts"
import * as EventTable from "./EventTable.ts"
import * as LetterFolder from "./LetterFolder.ts"
import * as OnlineRetail from "./OnlineRetail.ts"
import * as S3RecFolder from "./S3RecFolder.ts"
import { isTable, TableReader } from "./TableReader.ts"

/** Choices that apply to every form. */
export interface ImportOptions {
  /** Users and items with fewer events are dropped until none is left; by default what the form's source suggests. */
  readonly core?: number | undefined
}

/** Loads the data set at a file or folder. */
export const load: (
  path: string,
  options?: ImportOptions
) => Effect.Effect<Dataset, CatalogError, FileSystem.FileSystem | Path.Path | TableReader | Archive> = Effect.fn(
  "Import.load"
)(function*(location, options = {}) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const unreadable = (error: { readonly message: string }) =>
    new CatalogError({ reason: new Unreadable({ path: location, detail: error.message }) })
  const info = yield* fs.stat(location).pipe(Effect.mapError(unreadable))
  const isFolder = info.type === "Directory"
  const folder = isFolder ? location : path.dirname(location)
  const names = (yield* fs.readDirectory(folder).pipe(Effect.mapError(unreadable))).toSorted()
  const name = path.basename(path.resolve(location)).replace(/\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$/i, "")
  const config = yield* tableConfig(folder, names)
  const dataset = yield* recognise()
  if (dataset.items.length < 2) {
    return yield* new CatalogError({ reason: new TooFewItems({ items: dataset.items.length }) })
  }
  if (dataset.sequences.every((items) => items.length < 3)) {
    return yield* new CatalogError({
      reason: new NoEvents({ detail: "no user has three events; one each is needed to train, validate and test" })
    })
  }
  return dataset

  function recognise(): Effect.Effect<
    Dataset,
    CatalogError,
    FileSystem.FileSystem | Path.Path | TableReader | Archive
  > {
    const within = (file: string) => path.join(folder, file)
    const core = options.core ?? config.core
    if (!isFolder || config.events !== undefined) return tables(core ?? 0)
    const inter = names.find((file) => file.endsWith(".inter.json"))
    const item = names.find((file) => file.endsWith(".item.json"))
    if (inter !== undefined && item !== undefined) return LetterFolder.load(name, within(inter), within(item))
    const retail = names.find((file) => file === "by-day.tar.xz")
    if (retail !== undefined) return OnlineRetail.load(name, within(retail), core ?? 5)
    if (names.includes("s3rec")) {
      return fs.readDirectory(within("s3rec")).pipe(
        Effect.mapError(unreadable),
        Effect.flatMap((files) => {
          const file = files.toSorted().find((candidate) => candidate.endsWith(".txt"))
          return file === undefined ? unknown() : S3RecFolder.load(name, folder, path.join(folder, "s3rec", file))
        })
      )
    }
    return tables(core ?? 0)
  }

  function unknown() {
    return Effect.fail(
      new CatalogError({
        reason: new UnknownForm({ path: location, found: names.slice(0, 8).join(", ") || "nothing" })
      })
    )
  }

  /** The events table is the one with user and item columns, the items table one with item and title but no user. */
  function tables(core: number) {
    return Effect.gen(function*() {
      const reader = yield* TableReader
      const given = isFolder
        ? config.events === undefined ? undefined : path.join(folder, config.events)
        : location
      const candidates = names.filter(isTable).map((file) => path.join(folder, file))
      if (given === undefined && candidates.length === 0) return yield* unknown()
      let events = given
      let items = config.items === undefined ? undefined : path.join(folder, config.items)
      for (const file of candidates) {
        if (file === events || file === items) continue
        const columns = yield* reader.columns(file)
        const has = (role: EventTable.Role) => EventTable.columnOf(role, columns, config) !== undefined
        if (events === undefined && has("user") && has("item")) events = file
        else if (items === undefined && has("item") && has("title") && !has("user")) items = file
      }
      return yield* EventTable.load(name, events ?? candidates[0]!, items, config, core)
    })
  }
})

const tableConfig = Effect.fnUntraced(function*(folder: string, names: ReadonlyArray<string>) {
  if (!names.includes("sidereal.json")) return new EventTable.TableConfig({})
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(folder, "sidereal.json")
  const failed = (error: { readonly message: string }) =>
    new CatalogError({ reason: new Unreadable({ path: file, detail: error.message }) })
  const text = yield* fs.readFileString(file).pipe(Effect.mapError(failed))
  return yield* Schema.decodeEffect(Schema.fromJsonString(EventTable.TableConfig), {
    onExcessProperty: "error"
  })(text).pipe(Effect.mapError(failed))
})
