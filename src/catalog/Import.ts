/**
 * Import of any recognised data set by its path; the format is recognised by file names and content.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Assemble from "./Assemble.ts"
import { type FilterConfig } from "./Assemble.ts"
import {
  AmbiguousTables,
  CatalogError,
  IncompleteFolder,
  NoEvents,
  NoTimes,
  TooFewItems,
  UnknownForm,
  Unreadable
} from "./CatalogError.ts"
import { type Dataset } from "./Dataset.ts"
import * as EventLog from "./EventLog.ts"
import * as LetterFolder from "./format/LetterFolder.ts"
import * as LightGcnFolder from "./format/LightGcnFolder.ts"
import * as MindFolder from "./format/MindFolder.ts"
import * as MiniOneRecFolder from "./format/MiniOneRecFolder.ts"
import * as MovieLens from "./format/MovieLens.ts"
import * as NetflixPrize from "./format/NetflixPrize.ts"
import * as OnlineRetail from "./format/OnlineRetail.ts"
import * as PublishedTables from "./format/PublishedTables.ts"
import * as RecBoleSequences from "./format/RecBoleSequences.ts"
import * as S3RecFolder from "./format/S3RecFolder.ts"
import * as SequenceFile from "./format/SequenceFile.ts"
import { type Archive } from "./reader/Archive.ts"
import * as Malformed from "./reader/Malformed.ts"
import { type TableReader } from "./reader/TableReader.ts"
import * as EventTable from "./table/EventTable.ts"
import * as TableConfig from "./table/TableConfig.ts"
import * as TableFile from "./table/TableFile.ts"
import * as TableFolder from "./table/TableFolder.ts"
import * as TableProposal from "./table/TableProposal.ts"

/** Options for every format. */
export interface ImportOptions {
  /** Filter of the events. @default all but duplicates, with the format's own k-core */
  readonly filter?: FilterConfig | undefined
  /** Whether the first malformed row is an error instead of being counted. @default false */
  readonly strict?: boolean | undefined
  /** Seed of shuffled ties. @default 1 */
  readonly seed?: number | undefined
}

type Needs = FileSystem.FileSystem | Path.Path | TableReader | Archive

/** Location of the data. */
interface Place {
  /** File or folder as passed by the caller. */
  readonly location: string
  readonly folder: string
  /** Path of the file, where a file was passed. */
  readonly file: string | undefined
  /** Names in the folder, sorted. */
  readonly names: ReadonlyArray<string>
  /** Name of the data set. */
  readonly name: string
  readonly config: TableConfig.TableConfig
  readonly at: (name: string) => string
}

/** A format, with a function that returns how to load the data at a place, or undefined for other formats. */
interface Format {
  readonly name: string
  recognise(place: Place): Effect.Effect<Loading | undefined, CatalogError, Needs>
}

type Loading = (options: EventTable.LoadOptions) => Effect.Effect<Dataset, CatalogError, Needs>

/** Returns the paths of the `*.index.json` files beside the data, which hold published SIDs. */
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

/** Returns the path of the SIDs that are part of the data, as in MiniOneRec's folders. */
export const ownIndex: (
  path: string
) => Effect.Effect<string | undefined, never, FileSystem.FileSystem | Path.Path> = Effect.fn("Import.ownIndex")(
  function*(location) {
    const fs = yield* FileSystem.FileSystem
    let folder = location
    for (let depth = 0; depth < 3; depth++) {
      const names = yield* fs.readDirectory(folder).pipe(Effect.orElseSucceed((): Array<string> => []))
      if (MiniOneRecFolder.isOne(names)) return (yield* indexFiles(folder))[0]
      const [only, ...others] = yield* TableFolder.inside(folder)
      if (only === undefined || others.length > 0) return undefined
      folder = only
    }
    return undefined
  }
)

/**
 * Applies the filter to data in the format of sequences; without a filter they keep their order and numbers. Filtered
 * data lose their own split, because its targets may have been dropped.
 */
const filtered =
  (load: (strict: boolean) => Effect.Effect<Dataset, CatalogError, Needs>): Loading => ({ filter, seed, strict }) =>
    Effect.flatMap(load(strict), (dataset) => {
      if (JSON.stringify(filter) === JSON.stringify(Assemble.noFilter)) return Effect.succeed(dataset)
      const wanted = Assemble.timesWanted(filter)
      if (wanted !== undefined && dataset.times === undefined) {
        return Effect.fail(new CatalogError({ reason: new NoTimes({ wanted }) }))
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
      const told = dataset.notes === undefined ? made : { ...made, notes: dataset.notes }
      return Effect.succeed(dataset.times === undefined ? Assemble.withoutTimes(told) : told)
    })

const find = (names: ReadonlyArray<string>, suffix: string): string | undefined =>
  names.find((file) => [suffix, `${suffix}.gz`].some((end) => file.toLowerCase().endsWith(end)))

/** Loads sequences, with titles from a table of items beside them. */
const sequences = ({ config, folder, name }: Place, file: string): Loading =>
  filtered((strict) =>
    Effect.gen(function*() {
      const { findings, itemKeys, notes = [], sequences, userKeys } = yield* SequenceFile.read(file, strict)
      const { tables } = yield* TableFolder.discover(folder, config, file).pipe(
        Effect.orElseSucceed(() => ({ tables: undefined }))
      )
      const texts = tables?.items === undefined
        ? undefined
        : yield* EventTable.readItems(tables.items, config, new Set(itemKeys))
      if (texts !== undefined) yield* Malformed.settle(tables!.items!.files[0]!, texts.findings, strict)
      const all = Malformed.joined([findings, ...(texts === undefined ? [] : [texts.findings])])
      const dataset: Dataset = {
        name,
        items: itemKeys.map((key) => texts?.items.get(key) ?? Assemble.nameless(key)),
        userKeys,
        sequences,
        counts: [
          { step: "users read", count: sequences.length },
          { step: "events read", count: sequences.reduce((sum, list) => sum + list.length, 0) },
          { step: "items with a title", count: texts?.items.size ?? 0 },
          ...all.problems
        ],
        malformed: all.malformed,
        ...(notes.length === 0 ? {} : { notes })
      }
      return dataset
    })
  )

const tables = ({ config, name }: Place, found: EventTable.Tables): Loading => (options) =>
  EventTable.load(name, found, config, options)

/** Returns whether a format is that of tables, to which a `sidereal.json` applies. */
const isTables = (format: string): boolean => format === "tables"

/** Formats, in the order in which they are tried. */
const formats: ReadonlyArray<Format> = [
  {
    name: "sidereal.json",
    recognise: Effect.fnUntraced(function*(place) {
      if (!TableConfig.namesFiles(place.config) || place.file !== undefined) return undefined
      const found = yield* TableFolder.configured(place.folder, place.config)
      return found === undefined ? undefined : tables(place, found)
    })
  },
  {
    name: "MovieLens",
    recognise: ({ config, file, folder, name, names }) =>
      Effect.gen(function*() {
        const path = yield* Path.Path
        const found = MovieLens.find(names, file === undefined ? undefined : path.basename(file))
        return found === undefined ? undefined : (options) => MovieLens.load(name, folder, found, config, options)
      })
  },
  {
    name: "MiniOneRec",
    recognise: ({ file, folder, name, names }) =>
      Effect.gen(function*() {
        if (file !== undefined) return undefined
        const lacking = MiniOneRecFolder.lacking(names)
        if (lacking === undefined) return undefined
        if (lacking.length === 0) return filtered((strict) => MiniOneRecFolder.load(name, folder, strict))
        return yield* new CatalogError({
          reason: new IncompleteFolder({
            path: folder,
            format: "a folder of MiniOneRec",
            present: MiniOneRecFolder.present(names),
            lacking: [...lacking]
          })
        })
      })
  },
  {
    name: "LETTER",
    recognise: ({ at, file, folder, name, names }) =>
      Effect.gen(function*() {
        if (file !== undefined) return undefined
        const [inter, item] = [find(names, ".inter.json"), find(names, ".item.json")]
        if (inter === undefined && item === undefined) return undefined
        if (inter !== undefined && item !== undefined) {
          return filtered((strict) => LetterFolder.load(name, at(inter), at(item), strict))
        }
        return yield* new CatalogError({
          reason: new IncompleteFolder({
            path: folder,
            format: "a folder of LETTER or LC-Rec",
            present: [inter ?? item!],
            lacking: [inter === undefined ? "*.inter.json (user to items in order)" : "*.item.json (item to texts)"]
          })
        })
      })
  },
  {
    name: "Online Retail",
    recognise: ({ at, file, name, names }) =>
      Effect.succeed(
        file === undefined && names.includes("by-day.tar.xz")
          ? (options) => OnlineRetail.load(name, at("by-day.tar.xz"), options)
          : undefined
      )
  },
  {
    name: "S3-Rec",
    recognise: (place) =>
      Effect.gen(function*() {
        const { at, file, folder, name, names } = place
        if (file !== undefined || !names.includes("s3rec")) return undefined
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const inside = yield* fs.readDirectory(at("s3rec")).pipe(Effect.orElseSucceed((): Array<string> => []))
        const found = inside.toSorted().find(SequenceFile.isNamed)
        if (found === undefined) {
          return yield* new CatalogError({
            reason: new IncompleteFolder({
              path: folder,
              format: "Amazon's data of S3-Rec",
              present: ["s3rec"],
              lacking: ["a file of sequences in s3rec (*.txt)"]
            })
          })
        }
        const sequenceFile = path.join(at("s3rec"), found)
        return names.includes("transrec")
          ? filtered((strict) => S3RecFolder.load(name, folder, sequenceFile, strict))
          : sequences(place, sequenceFile)
      })
  },
  {
    name: "MIND",
    recognise: ({ at, config, file, name, names }) =>
      Effect.gen(function*() {
        const path = yield* Path.Path
        const found = MindFolder.find(names)
        if (found === undefined || config.header !== undefined) return undefined
        if (file !== undefined && path.basename(file) !== found.behaviours) return undefined
        const news = found.news === undefined ? undefined : at(found.news)
        return filtered((strict) => MindFolder.load(name, at(found.behaviours), news, strict))
      })
  },
  {
    name: "LightGCN",
    recognise: ({ at, file, folder, name, names }) =>
      Effect.gen(function*() {
        const found = file === undefined ? LightGcnFolder.find(names) : undefined
        if (found === undefined || !(yield* LightGcnFolder.isOne(at(found[0]!.file)))) return undefined
        return filtered((strict) => LightGcnFolder.load(name, folder, found, names, strict))
      })
  },
  {
    name: "Netflix Prize",
    recognise: ({ file, folder, name, names }) =>
      Effect.gen(function*() {
        const { ratings, titles } = yield* NetflixPrize.find(folder, names)
        const files = file === undefined ? ratings : [file]
        const isOne = files.length > 0 &&
          (yield* NetflixPrize.isOne(files[0]!).pipe(Effect.orElseSucceed(() => false)))
        return isOne ? (options) => NetflixPrize.load(name, files, titles, options) : undefined
      })
  },
  {
    name: "published tables",
    recognise: (place) =>
      Effect.gen(function*() {
        const { at, config, file, names } = place
        const path = yield* Path.Path
        const own = TableConfig.found(config, [], "events")
        if (own.form?.columns !== undefined) return undefined
        for (
          const { events, items, set } of PublishedTables.find(
            names,
            file === undefined ? undefined : path.basename(file)
          )
        ) {
          const { columns = {}, form, itemColumns = {}, needs = [] } = set
          const first = yield* TableFile.open(at(events), own.form ?? form)
          const has = (name: string) => first.columns.some((column) => column.toLowerCase() === name.toLowerCase())
          if (!needs.every(has)) continue
          return tables(place, {
            events: { files: [at(events)], columns: { ...columns, ...own.columns }, form: own.form ?? form },
            items: items === undefined
              ? undefined
              : {
                files: [at(items)],
                columns: { ...itemColumns, ...TableConfig.found(config, [], "items").columns },
                form: undefined
              },
            notes: [`read as ${set.name}: ${[events, ...(items === undefined ? [] : [items])].join(" and ")}`]
          })
        }
        return undefined
      })
  },
  {
    name: "sequences",
    recognise: (place) =>
      Effect.gen(function*() {
        const { at, config, file, names } = place
        if (config.header !== undefined || config.columns?.user !== undefined) return undefined
        const readable = (one: string) => SequenceFile.isOne(one).pipe(Effect.orElseSucceed(() => false))
        if (file !== undefined) {
          return SequenceFile.isNamed(file) && (yield* readable(file)) ? sequences(place, file) : undefined
        }
        const candidates = yield* Effect.filter(names.filter(SequenceFile.isNamed).map(at), readable)
        if (candidates.length === 0) return undefined
        const { tables: found } = yield* TableFolder.discover(place.folder, config)
        if (found !== undefined) return undefined
        const path = yield* Path.Path
        const main = SequenceFile.mainOf(candidates.map((one) => path.basename(one)))
        if (main !== undefined) return sequences(place, at(main))
        return yield* new CatalogError({
          reason: new AmbiguousTables({
            path: place.folder,
            role: "events",
            files: candidates.map((one) => path.basename(one)),
            why: "each holds lines of items by user or session; pass the path of one of them"
          })
        })
      })
  },
  {
    name: "pairs",
    recognise: (place) =>
      Effect.gen(function*() {
        const { at, config, file, names } = place
        if (config.header !== undefined || config.columns?.user !== undefined) return undefined
        const candidates = file === undefined ? names.filter(SequenceFile.isNamed).map(at) : [file]
        if (candidates.length !== 1 || !SequenceFile.isNamed(candidates[0]!)) return undefined
        const isPairs = yield* SequenceFile.isPairs(candidates[0]!).pipe(Effect.orElseSucceed(() => false))
        if (!isPairs) return undefined
        const { tables: found } = yield* TableFolder.discover(place.folder, config, candidates[0])
        const separator = yield* SequenceFile.separatorOf(candidates[0]!)
        return tables(place, {
          events: { files: [candidates[0]!], columns: {}, form: { columns: ["user", "item"], separator, quote: null } },
          items: found?.items,
          notes: [`${candidates[0]!} is read as pairs of user and item in order of time`]
        })
      })
  },
  {
    name: "tables",
    recognise: (place) =>
      Effect.gen(function*() {
        const { config, file, folder } = place
        const { looked, tables: found } = yield* TableFolder.discover(folder, config, file)
        if (found === undefined) {
          if ((yield* innerOf(place)) !== undefined) return undefined
          const [only] = looked
          // For a single file in a folder, its own error is more specific.
          return looked.length === 1 && !(only instanceof CatalogError) && !TableFolder.isOnlyItems(only!)
            ? tables(place, { events: TableConfig.found(config, [only!.file], "events") })
            : yield* unknown(place, looked)
        }
        if (file !== undefined && found.events.form?.columns === undefined) {
          const table = yield* TableFile.open(file, found.events.form)
          if (table.columns.length < 2 || TableFolder.isOnlyItems(table)) return yield* unknown(place, [table])
        }
        const { files, form } = found.events
        const histories = RecBoleSequences.columnsOf((yield* TableFile.open(files[0]!, form)).columns)
        if (histories !== undefined && config.columns?.item === undefined) {
          return filtered((strict) => RecBoleSequences.load(place.name, found, histories, config, strict))
        }
        const invoices = OnlineRetail.columnsOf((yield* TableFile.open(files[0]!, form)).columns)
        const { user } = config.columns ?? {}
        return invoices === undefined || user !== undefined || found.items !== undefined || found.parts !== undefined
          ? tables(place, found)
          : (options) => OnlineRetail.loadTables(place.name, files, invoices, form, options)
      })
  }
]

/** Builds the error for unrecognised data, with the kind and the missing columns of every file. */
const unknown = Effect.fnUntraced(function*(
  place: Place,
  looked: ReadonlyArray<TableFile.TableFile | CatalogError>
): Effect.fn.Return<never, CatalogError, Needs> {
  const columns = place.config.columns ?? {}
  const inside = place.file === undefined ? yield* TableFolder.inside(place.folder) : []
  const best = looked.filter((table): table is TableFile.TableFile => !(table instanceof CatalogError))
    .filter((table) => table.columns.length > 1 && !TableFolder.isOnlyItems(table))
    .toSorted((a, b) => TableProposal.likeness(b) - TableProposal.likeness(a))[0]
  const proposal = best === undefined
    ? ""
    : TableProposal.text(TableProposal.ofEvents(best, columns, best.file.slice(place.folder.length + 1)))
  return yield* new CatalogError({
    reason: new UnknownForm({
      path: place.location,
      found: place.names.slice(0, 8).join(", ") || "nothing",
      candidates: [
        ...looked.slice(0, 8).map((table) =>
          table instanceof CatalogError ? table.message : TableProposal.describe(table, columns) +
            (TableFolder.isOnlyItems(table) ? "\n      it is a table of items; a table of events is needed too" : "")
        ),
        ...TableFolder.unread(place.names).map((name) => `${name}: an archive or document; unpack or export it first`),
        ...inside.map((one) => `${one}: a folder with tables; pass its path to import it`)
      ],
      ...(proposal === "" ? {} : { proposal })
    })
  })
})

/** Returns the place of the only subfolder with data, as unpacked archives have; `location` is unchanged. */
const innerOf: (place: Place) => Effect.Effect<Place | undefined, CatalogError, Needs> = Effect.fnUntraced(
  function*(place) {
    const inside = place.file === undefined ? yield* TableFolder.inside(place.folder) : []
    if (inside.length !== 1) return undefined
    const inner = yield* placeOf(inside[0]!)
    return { ...inner, name: place.name, config: inner.config === TableConfig.none ? place.config : inner.config }
  }
)

/** Recognised data at a place. */
interface Recognised {
  readonly place: Place
  readonly format: string
  readonly loading: Loading
}

/** Returns the first format that matches the data at a place, or in the only subfolder with data. */
const recognised: (place: Place) => Effect.Effect<Recognised, CatalogError, Needs> = Effect.fnUntraced(
  function*(place) {
    for (const { name: format, recognise } of formats) {
      const loading = yield* recognise(place)
      if (loading !== undefined) return { place, format, loading }
    }
    const inner = yield* innerOf(place)
    return inner === undefined ? yield* unknown(place, []) : yield* recognised(inner)
  }
)

/** Reads the folder of a place: the names in it, and the settings beside the data. */
const placeOf = Effect.fnUntraced(function*(location: string): Effect.fn.Return<Place, CatalogError, Needs> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const unreadable = (error: { readonly message: string }) =>
    new CatalogError({ reason: new Unreadable({ path: location, detail: error.message }) })
  const info = yield* fs.stat(location).pipe(Effect.mapError(unreadable))
  const isFolder = info.type === "Directory"
  const folder = isFolder ? location : path.dirname(location)
  return {
    location,
    folder,
    file: isFolder ? undefined : location,
    names: (yield* fs.readDirectory(folder).pipe(Effect.mapError(unreadable))).toSorted(),
    name: path.basename(path.resolve(location)).replace(
      /\.(csv|tsv|tab|jsonl|ndjson|json|parquet|inter|txt|data|dat)(\.gz)?$/i,
      ""
    ),
    config: yield* TableConfig.read(folder),
    at: (name) => path.join(folder, name)
  }
})

/**
 * Proposes a `sidereal.json` for the tables at a path, with recognised columns, and guesses by names and values for the
 * others. Fails where a folder has no table, or already has such a file, which is never replaced.
 */
export const propose: (
  path: string
) => Effect.Effect<{ readonly file: string; readonly text: string }, CatalogError, Needs> = Effect.fn("Import.propose")(
  function*(location) {
    const given = yield* placeOf(location)
    const found = yield* Effect.result(recognised(given))
    const place = found._tag === "Success" ? found.success.place : given
    const { at, config, folder, names } = place
    const path = yield* Path.Path
    const file = at(TableConfig.fileName)
    if (names.includes(TableConfig.fileName)) {
      return yield* new CatalogError({
        reason: new Unreadable({
          path: file,
          detail: "it already exists and is not replaced; edit it, or move it away"
        })
      })
    }
    // Formats recognised by other signs than columns need no settings, and named files would disable the recognition.
    if (found._tag === "Success" && !isTables(found.success.format)) return { file, text: "{}\n" }
    const { looked, tables } = yield* TableFolder.discover(folder, config, place.file)
    const read = looked.filter((table): table is TableFile.TableFile => !(table instanceof CatalogError))
    const events = place.file !== undefined || tables !== undefined
      ? yield* TableFile.open(place.file ?? tables!.events.files[0]!)
      : read.toSorted((a, b) => TableProposal.likeness(b) - TableProposal.likeness(a))[0]
    if (events === undefined || TableProposal.isWide(events)) return yield* unknown(place, looked)
    const isOwn = [OnlineRetail.columnsOf, RecBoleSequences.columnsOf].some((of) => of(events.columns) !== undefined)
    if (found._tag === "Success" && isOwn) return { file, text: "{}\n" }
    const items = tables?.items === undefined ? undefined : yield* TableFile.open(tables.items.files[0]!)
    const relative = (one: string) => path.relative(folder, one)
    const proposal = TableProposal.ofTables(
      {
        table: events,
        files: (tables?.events.files ?? [events.file]).map(relative),
        parts: tables?.parts,
        header: tables?.events.form?.columns
      },
      items === undefined ? undefined : { table: items, files: tables!.items!.files.map(relative) }
    )
    return { file, text: `${JSON.stringify(proposal, undefined, 2)}\n` }
  }
)

/** Loads the data set at a file or folder, by the first format that matches. */
export const load: (
  path: string,
  options?: ImportOptions
) => Effect.Effect<Dataset, CatalogError, Needs> = Effect.fn("Import.load")(function*(location, given = {}) {
  const place = yield* placeOf(location)
  const options: EventTable.LoadOptions = {
    filter: given.filter ?? Assemble.noFilter,
    seed: given.seed ?? 1,
    strict: given.strict ?? false
  }
  const { loading, place: found } = yield* recognised(place)
  const read = yield* loading(options)
  const dataset = found.folder === place.folder
    ? read
    : { ...read, notes: [`the data are those in ${found.folder}`, ...read.notes ?? []] }
  const counts = dataset.counts.map(({ count, step }) => `${step}: ${count}`)
  if (dataset.items.length < 2) {
    return yield* new CatalogError({ reason: new TooFewItems({ items: dataset.items.length, counts }) })
  }
  if (dataset.split === undefined && dataset.sequences.every((items) => items.length < 3)) {
    return yield* new CatalogError({
      reason: new NoEvents({
        detail: `no user has three events (${counts.join("; ")}), one each for training, validation and test`
      })
    })
  }
  return dataset
})
