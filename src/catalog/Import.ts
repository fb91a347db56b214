/**
 * Any recognised data set by its path: the form is found by names and content.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Assemble from "./Assemble.ts"
import { type FilterConfig } from "./Assemble.ts"
import { CatalogError, NoEvents, NoTimes, TooFewItems, UnknownForm, Unreadable } from "./CatalogError.ts"
import { type Dataset } from "./Dataset.ts"
import * as EventLog from "./EventLog.ts"
import * as AmazonRatings from "./format/AmazonRatings.ts"
import * as EventTable from "./format/EventTable.ts"
import * as JsonLines from "./format/JsonLines.ts"
import * as LetterFolder from "./format/LetterFolder.ts"
import * as MiniOneRecFolder from "./format/MiniOneRecFolder.ts"
import * as MovieLens from "./format/MovieLens.ts"
import * as OnlineRetail from "./format/OnlineRetail.ts"
import * as S3RecFolder from "./format/S3RecFolder.ts"
import * as SequenceFile from "./format/SequenceFile.ts"
import { type Archive } from "./reader/Archive.ts"
import * as Malformed from "./reader/Malformed.ts"
import { isTable, type TableReader } from "./reader/TableReader.ts"

/** Choices that apply to every form. */
export interface ImportOptions {
  /** What is kept. @default everything but duplicates, and what the form's source suggests */
  readonly filter?: FilterConfig | undefined
  /** The first row that cannot be used is an error instead of being counted. @default false */
  readonly strict?: boolean | undefined
  /** Decides the order of shuffled ties. @default 1 */
  readonly seed?: number | undefined
}

type Needs = FileSystem.FileSystem | Path.Path | TableReader | Archive

/** The `*.index.json` beside the data of a folder: SIDs that somebody made for them. */
export const indexFiles: (
  path: string
) => Effect.Effect<ReadonlyArray<string>, never, FileSystem.FileSystem | Path.Path> = Effect.fn("Import.indexFiles")(
  function*(location) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* fs.readDirectory(location).pipe(Effect.orElseSucceed((): Array<string> => []))
    return names.filter((name) => name.endsWith(".index.json")).toSorted().map((name) => path.join(location, name))
  }
)

/** The index that belongs to the data themselves: MiniOneRec's folders keep their SIDs. */
export const ownIndex: (
  path: string
) => Effect.Effect<string | undefined, never, FileSystem.FileSystem | Path.Path> = Effect.fn("Import.ownIndex")(
  function*(location) {
    const fs = yield* FileSystem.FileSystem
    const names = yield* fs.readDirectory(location).pipe(Effect.orElseSucceed((): Array<string> => []))
    return MiniOneRecFolder.isOne(names) ? (yield* indexFiles(location))[0] : undefined
  }
)

/** Loads the data set at a file or folder. */
export const load: (
  path: string,
  options?: ImportOptions
) => Effect.Effect<Dataset, CatalogError, Needs> = Effect.fn("Import.load")(function*(location, given = {}) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const options: EventTable.LoadOptions = {
    filter: given.filter ?? Assemble.noFilter,
    seed: given.seed ?? 1,
    strict: given.strict ?? false
  }
  const unreadable = (error: { readonly message: string }) =>
    new CatalogError({ reason: new Unreadable({ path: location, detail: error.message }) })
  const info = yield* fs.stat(location).pipe(Effect.mapError(unreadable))
  const isFolder = info.type === "Directory"
  const folder = isFolder ? location : path.dirname(location)
  const names = (yield* fs.readDirectory(folder).pipe(Effect.mapError(unreadable))).toSorted()
  const name = path.basename(path.resolve(location)).replace(
    /\.(csv|tsv|jsonl|ndjson|json|parquet|inter|txt|data|dat)(\.gz)?$/i,
    ""
  )
  const config = yield* tableConfig(folder, names)
  const dataset = yield* recognise()
  if (dataset.items.length < 2) {
    return yield* new CatalogError({ reason: new TooFewItems({ items: dataset.items.length }) })
  }
  if (dataset.split === undefined && dataset.sequences.every((items) => items.length < 3)) {
    return yield* new CatalogError({
      reason: new NoEvents({ detail: "no user has three events; one each is needed to train, validate and test" })
    })
  }
  return dataset

  function recognise(): Effect.Effect<Dataset, CatalogError, Needs> {
    const within = (file: string) => path.join(folder, file)
    const find = (suffix: string) => names.find((file) => file.endsWith(suffix) || file.endsWith(`${suffix}.gz`))
    const movieLens = config.events === undefined
      ? MovieLens.find(names, isFolder ? undefined : path.basename(location))
      : undefined
    if (movieLens !== undefined) return MovieLens.load(name, folder, movieLens, config, options)
    if (!isFolder) {
      return SequenceFile.isNamed(location)
        ? Effect.flatMap(SequenceFile.isOne(location), (isOne) => isOne ? sequences(location) : unknown())
        : tables()
    }
    if (config.events !== undefined) return tables()
    if (MiniOneRecFolder.isOne(names)) return filtered(MiniOneRecFolder.load(name, folder, options.strict))
    const [inter, item] = [find(".inter.json"), find(".item.json")]
    if (inter !== undefined && item !== undefined) {
      return filtered(LetterFolder.load(name, within(inter), within(item), options.strict))
    }
    const retail = names.find((file) => file === "by-day.tar.xz")
    if (retail !== undefined) return OnlineRetail.load(name, within(retail), options)
    return Effect.gen(function*() {
      if (names.includes("s3rec")) {
        const files = yield* fs.readDirectory(within("s3rec")).pipe(Effect.mapError(unreadable))
        const file = files.toSorted().find(SequenceFile.isNamed)
        if (file === undefined) return yield* unknown()
        const at = path.join(folder, "s3rec", file)
        const withTitles = names.includes("transrec")
        return yield* withTitles ? filtered(S3RecFolder.load(name, folder, at, options.strict)) : sequences(at)
      }
      const file = yield* Effect.findFirst(names.filter(SequenceFile.isNamed).map(within), SequenceFile.isOne)
      return file._tag === "Some" && !(yield* hasEvents()) ? yield* sequences(file.value) : yield* tables()
    })
  }

  function sequences(file: string) {
    return filtered(fromSequences(file))
  }

  function unknown() {
    return Effect.fail(
      new CatalogError({
        reason: new UnknownForm({ path: location, found: names.slice(0, 8).join(", ") || "nothing" })
      })
    )
  }

  /**
   * The filter on data that come as sequences; where it asks for nothing they stay as they are, numbers included. What is
   * filtered loses a split of its own, whose targets may be gone.
   */
  function filtered<E, R>(loading: Effect.Effect<Dataset, E, R>): Effect.Effect<Dataset, E | CatalogError, R> {
    return Effect.flatMap(loading, (dataset) => {
      const { filter, seed } = options
      if (JSON.stringify(filter) === JSON.stringify(Assemble.noFilter)) return Effect.succeed(dataset)
      const wish = filter.from !== undefined || filter.to !== undefined
        ? "a time range"
        : filter.ties === "shuffled"
        ? "--ties shuffled"
        : undefined
      if (wish !== undefined && dataset.times === undefined) {
        return Effect.fail(new CatalogError({ reason: new NoTimes({ wanted: wish }) }))
      }
      const log = EventLog.builder()
      for (const [user, items] of dataset.sequences.entries()) {
        for (const [at, item] of items.entries()) {
          log.add(dataset.userKeys[user]!, dataset.items[item]!.key, dataset.times?.[user]![at] ?? at)
        }
      }
      const made = Assemble.assemble(
        dataset.name,
        log.build(),
        new Map(dataset.items.map((item) => [item.key, item])),
        {
          filter,
          seed,
          core: 0,
          firstOnly: false,
          before: dataset.counts,
          malformed: dataset.malformed,
          comparableTimes: false
        }
      )
      return Effect.succeed(dataset.times === undefined ? { ...made, times: undefined, tieShare: undefined } : made)
    })
  }

  /** Sequences, with titles of an items table beside them. */
  function fromSequences(file: string) {
    return Effect.gen(function*() {
      const { findings, sequences, userKeys } = yield* SequenceFile.read(file, options.strict)
      const number = new Map<number, number>()
      for (const list of sequences) for (const item of list) if (!number.has(item)) number.set(item, number.size)
      const keys = Array.from(number.keys(), String)
      const itemsFile = yield* itemsTable(undefined)
      const texts = itemsFile === undefined
        ? undefined
        : yield* EventTable.readItems(itemsFile, config, new Set(keys))
      if (texts !== undefined) yield* Malformed.settle(itemsFile!, texts.findings, options.strict)
      const dataset: Dataset = {
        name,
        items: keys.map((key) => texts?.items.get(key) ?? Assemble.nameless(key)),
        userKeys,
        sequences: sequences.map((list) => list.map((item) => number.get(item)!)),
        counts: [
          { step: "users read", count: sequences.length },
          { step: "events read", count: sequences.reduce((sum, list) => sum + list.length, 0) },
          { step: "items with a title", count: texts?.items.size ?? 0 },
          ...findings.problems,
          ...(texts?.findings.problems ?? [])
        ],
        malformed: [...findings.malformed, ...(texts?.findings.malformed ?? [])].slice(0, Malformed.kept)
      }
      return dataset
    })
  }

  /** Roles that the columns of a file have. */
  function rolesOf(file: string) {
    return Effect.gen(function*() {
      const columns = yield* EventTable.columns(file)
      const has = (role: EventTable.Role) => EventTable.columnOf(role, columns, config) !== undefined
      const isEvents = (has("user") && has("item")) || AmazonRatings.formOf(columns) !== undefined
      return { isEvents, isItems: has("item") && has("title") && !has("user") }
    })
  }

  function hasEvents() {
    return Effect.gen(function*() {
      for (const file of names.filter(isRead)) {
        const roles = yield* rolesOf(path.join(folder, file)).pipe(Effect.option)
        if (roles._tag === "Some" && roles.value.isEvents) return true
      }
      return false
    })
  }

  function itemsTable(events: string | undefined) {
    return Effect.gen(function*() {
      if (config.items !== undefined) return path.join(folder, config.items)
      for (const file of names.filter(isRead).map((one) => path.join(folder, one))) {
        if (file === events) continue
        const roles = yield* rolesOf(file).pipe(Effect.option)
        if (roles._tag === "Some" && roles.value.isItems) return file
      }
      return undefined
    })
  }

  /** The events table is the one with user and item columns, the items table one with item and title but no user. */
  function tables() {
    return Effect.gen(function*() {
      const candidates = names.filter((file) => isRead(file)).map((file) => path.join(folder, file))
      let events = isFolder
        ? config.events === undefined ? undefined : path.join(folder, config.events)
        : location
      if (events === undefined && candidates.length === 0) return yield* unknown()
      for (const file of events === undefined ? candidates : []) {
        const roles = yield* rolesOf(file).pipe(Effect.option)
        if (roles._tag === "Some" && roles.value.isEvents) {
          events = file
          break
        }
      }
      events ??= candidates[0]!
      const { header, separator } = config
      const form = header === undefined
        ? JsonLines.isJsonLines(events) ? undefined : AmazonRatings.formOf(yield* EventTable.columns(events))
        : { columns: header, separator: separator ?? "," }
      return yield* EventTable.load(name, events, yield* itemsTable(events), config, options, { events: form })
    })
  }
})

const isRead = (name: string): boolean => isTable(name) || JsonLines.isJsonLines(name)

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
