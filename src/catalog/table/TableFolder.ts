/**
 * Recognition of the tables in a folder: parts of one table, files of a split, and tables of items.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { AmbiguousTables, CatalogError, Unreadable } from "../CatalogError.ts"
import * as AmazonRatings from "../format/AmazonRatings.ts"
import { type TableForm, type TableReader } from "../reader/TableReader.ts"
import * as ColumnRoles from "./ColumnRoles.ts"
import { type Tables } from "./EventTable.ts"
import * as TableConfig from "./TableConfig.ts"
import * as TableFile from "./TableFile.ts"
import * as TableProposal from "./TableProposal.ts"
import * as TimeColumn from "./TimeColumn.ts"

/** Files of one table: their names differ only in numbers. */
interface Group {
  /** Common name without numbers and extensions. */
  readonly stem: string
  readonly files: ReadonlyArray<string>
  /** First file as a table, or the error of opening it. */
  readonly table: TableFile.TableFile | CatalogError
}

type Needs = FileSystem.FileSystem | Path.Path | TableReader

/** Extensions of files that may be tables, compressed or not. */
const ending = /\.(csv|tsv|tab|psv|txt|dat|data|log|json|jsonl|ndjson|jl|parquet|pq|inter|item)(\.gz|\.gzip)?$/i

/** Names of documents about the data, such as licences, which are never tables. */
const document =
  /^(?!.*\.(csv|tsv|jsonl?|parquet|gz)$)(.*[-_. ])?(read[-_]?me|licen[cs]e|copying|notice|changelog|changes|citation|terms|makefile|dockerfile|version)([-_. ].*)?$/i

/** Extensions of archives and documents, which are listed in messages and never read. */
const foreign =
  /\.(zip|7z|rar|tar|tgz|bz2|xz|zst|xlsx?|ods|docx?|pdf|sqlite3?|db|h5|hdf5|pkl|pickle|feather|arrow|orc|avro)$/i

const isHidden = (name: string): boolean => /^[._~]/.test(name) || name === TableConfig.fileName

/** Returns whether a folder's name means that its files are parts of one table, as with Spark and Hive. */
const isPartitioned = (name: string): boolean => ending.test(name) || /^[\w-]+=/.test(name)

const partWords: Readonly<Record<string, number>> = {
  train: 0,
  training: 0,
  valid: 1,
  validation: 1,
  val: 1,
  dev: 1,
  test: 2,
  testing: 2
}

/** Returns whether a file may be a table, by its name, with or without an extension. */
export const isRead = (name: string): boolean =>
  !isHidden(name) && !name.endsWith(".index.json") && !document.test(name) &&
  (ending.test(name) || !name.includes("."))

/** Returns whether a file is an archive or document, which cannot be read as a table, by its name. */
export const isForeign = (name: string): boolean => !isHidden(name) && foreign.test(name)

/** Returns the folders that are parts of a split, if there is one for training and one for test. */
const splitFolders = (names: ReadonlyArray<string>): ReadonlySet<string> => {
  const found = names.filter((name) => partWords[name.toLowerCase()] !== undefined)
  const parts = new Set(found.map((name) => partWords[name.toLowerCase()]))
  return new Set(parts.has(0) && parts.has(2) ? found : [])
}

/** A file that may be a table. */
interface Found {
  readonly file: string
  readonly isEmpty: boolean
}

const walk: (
  folder: string,
  depth: number
) => Effect.Effect<ReadonlyArray<Found>, CatalogError, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(function*(
  folder,
  depth
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = (yield* fs.readDirectory(folder).pipe(
    Effect.mapError((error) => new CatalogError({ reason: new Unreadable({ path: folder, detail: error.message }) }))
  )).toSorted()
  const found: Array<Found> = []
  const split = splitFolders(names)
  const isOpened = (name: string) => isPartitioned(name) || split.has(name)
  for (const name of names) {
    if (isHidden(name)) continue
    const at = path.join(folder, name)
    if (!isRead(name) && !isOpened(name)) continue
    // Broken links are skipped.
    const info = yield* fs.stat(at).pipe(Effect.option)
    if (info._tag === "None") continue
    if (info.value.type === "File" && isRead(name)) found.push({ file: at, isEmpty: info.value.size === 0n })
    if (info.value.type === "Directory" && isOpened(name) && depth > 0) found.push(...(yield* walk(at, depth - 1)))
  }
  return found
})

/**
 * Lists the files that may be tables in a folder and its partitions, in the order of their paths; empty files, as Spark
 * writes them, only where there are no others.
 */
export const list = Effect.fn("TableFolder.list")(function*(folder: string) {
  const all = yield* walk(folder, 4)
  const full = all.filter(({ isEmpty }) => !isEmpty)
  return (full.length === 0 ? all : full).map(({ file }) => file)
})

/** Returns the archives and documents of a folder. */
export const unread = (names: ReadonlyArray<string>): ReadonlyArray<string> => names.filter(isForeign)

/** Lists the subfolders that may hold data: neither hidden nor runs. */
const below = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = (yield* fs.readDirectory(folder).pipe(Effect.orElseSucceed((): Array<string> => []))).toSorted()
  const folders: Array<string> = []
  for (const name of names) {
    if (isHidden(name) || name === "node_modules" || name === "runs") continue
    const at = path.join(folder, name)
    const info = yield* fs.stat(at).pipe(Effect.option)
    if (info._tag === "None" || info.value.type !== "Directory") continue
    if (!(yield* fs.exists(path.join(at, "manifest.json")).pipe(Effect.orElseSucceed(() => false)))) folders.push(at)
  }
  return folders
})

const holdsTables: (
  folder: string,
  depth: number
) => Effect.Effect<boolean, never, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(function*(folder, depth) {
  const files = yield* list(folder).pipe(Effect.orElseSucceed((): ReadonlyArray<string> => []))
  if (files.length > 0) return true
  if (depth === 0) return false
  for (const one of yield* below(folder)) if (yield* holdsTables(one, depth - 1)) return true
  return false
})

/** Lists the folders with tables below a folder without data, at most three levels down. */
export const inside: (
  folder: string
) => Effect.Effect<ReadonlyArray<string>, never, FileSystem.FileSystem | Path.Path> = Effect.fn("TableFolder.inside")(
  function*(folder) {
    const found: Array<string> = []
    for (const one of yield* below(folder)) if (yield* holdsTables(one, 2)) found.push(one)
    return found
  }
)

const months =
  /(?<![a-z])(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?)(?![a-z])/g

/** Returns a name without extensions, with numbers and identifiers replaced by a mark. */
const stemOf = (name: string): string =>
  name.toLowerCase().replace(/\.(gz|gzip)$/, "")
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "#")
    .replaceAll(months, "#")
    .replaceAll(/(?<![a-z])[0-9a-f]*\d[0-9a-f]*(?![a-z])/g, "#")
    .replaceAll(/\d+/g, "#")
    .replaceAll(/#([-_. ]#)+/g, "#")
    .replace(/-c#(?=\.|$)/, "")

/** Returns the stem of a file; for a file of a partition, that of the table's folder. */
const stemIn = (folder: string, file: string, path: Path.Path): string => {
  const parts = path.relative(folder, file).split(path.sep)
  const partition = parts.slice(0, -1).findIndex((part) => ending.test(part))
  if (partition >= 0) return stemOf(parts.slice(0, partition + 1).join("/"))
  const [first = ""] = parts
  if (parts.length > 1 && partWords[first.toLowerCase()] !== undefined) {
    return `${first.toLowerCase()}/${stemOf(parts.at(-1)!)}`
  }
  const within = parts.slice(0, -1).filter((part) => isPartitioned(part))
  return within.length > 0 ? parts.filter((part) => !isPartitioned(part)).map(stemOf).join("/") : stemOf(parts.at(-1)!)
}

/** Opens the first part that is not empty, or returns the error of the first. */
const firstOf = Effect.fnUntraced(function*(members: ReadonlyArray<string>, form: TableForm | undefined) {
  const open = (file: string) => TableFile.open(file, form).pipe(Effect.catch((error) => Effect.succeed(error)))
  const first = yield* open(members[0]!)
  if (!(first instanceof CatalogError)) return first
  for (const [at, file] of members.entries()) {
    if (!(yield* TableFile.isEmpty(file))) return at === 0 ? first : yield* open(file)
  }
  return first
})

const groupsOf = Effect.fnUntraced(
  function*(folder: string, files: ReadonlyArray<string>, form: TableForm | undefined) {
    const path = yield* Path.Path
    const stems = new Map<string, Array<string>>()
    const alone = path.basename(folder)
    for (const file of files) {
      // All files of a folder that is a partition are one table.
      const stem = isPartitioned(alone) ? stemOf(alone) : stemIn(folder, file, path)
      const held = stems.get(stem)
      if (held === undefined) stems.set(stem, [file])
      else held.push(file)
    }
    const groups: Array<Group> = []
    for (const [stem, members] of stems) {
      groups.push({ stem, files: members, table: yield* firstOf(members, form) })
    }
    return groups
  }
)

/** Returns the part of a split that a stem names, and the rest of the stem. */
const partOf = (stem: string): { readonly part: number; readonly rest: string } | undefined => {
  const words = stem.split(/[-_. /]+/)
  const part = words.map((word) => partWords[word]).find((one) => one !== undefined)
  return part === undefined
    ? undefined
    : { part, rest: words.filter((word) => partWords[word] !== part && word !== "#" && word !== "of").join(" ") }
}

const isEvents = (table: TableFile.TableFile, columns: TableConfig.Files["columns"]): boolean => {
  const has = (role: ColumnRoles.Role) => ColumnRoles.columnOf(role, table.columns, columns) !== undefined
  return ((has("user") || TableFile.keyOf(table) !== undefined) &&
    (has("item") || table.nested !== undefined || table.listed !== undefined)) ||
    AmazonRatings.formOf(table.columns) !== undefined
}

/** Returns whether a table can only be one of items: no column may be one of users, and no key is repeated. */
export const isOnlyItems = (table: TableFile.TableFile): boolean => {
  const source = TableConfig.found(TableConfig.none, [], "items")
  if (!isItems(table, source) || TableProposal.mayHaveUsers(table)) return false
  const keys = TimeColumn.sampled(table, ColumnRoles.itemKeyOf(table.columns, source)!)
  return new Set(keys).size === keys.length
}

/** Returns whether a table may be one of items: it has a key and a title, and no users. */
const isItems = (table: TableFile.TableFile, source: TableConfig.Files): boolean =>
  ColumnRoles.itemKeyOf(table.columns, source) !== undefined &&
  ColumnRoles.columnOf("title", table.columns, source.columns) !== undefined &&
  ColumnRoles.columnOf("user", table.columns, source.columns) === undefined

/** Tables recognised in a folder. */
export interface Discovered {
  readonly tables: Tables | undefined
  /** Every group examined, for messages. */
  readonly looked: ReadonlyArray<TableFile.TableFile | CatalogError>
}

const nameOf = (group: Group, folder: string, path: Path.Path): string =>
  path.relative(folder, group.files[0]!) + (group.files.length > 1 ? ` (and ${group.files.length - 1} more)` : "")

/** Returns the events among the groups, as one table or as a split; fails where they are ambiguous. */
const eventsOf = Effect.fnUntraced(function*(folder: string, groups: ReadonlyArray<Group>) {
  const path = yield* Path.Path
  if (groups.length <= 1) return { files: groups[0]?.files ?? [], parts: undefined }
  const parts = groups.map((group) => ({ group, at: partOf(group.stem) }))
  const [first] = parts
  const isSplit = parts.every(({ at }) => at !== undefined && at.rest === first!.at?.rest) &&
    new Set(parts.map(({ at }) => at?.part)).size === parts.length &&
    parts.some(({ at }) => at?.part === 0) && parts.some(({ at }) => at?.part === 2)
  if (isSplit) {
    const ordered = parts.toSorted((a, b) => a.at!.part - b.at!.part)
    return {
      files: ordered.flatMap(({ group }) => group.files),
      parts: ordered.flatMap(({ at, group }) => group.files.map(() => at!.part))
    }
  }
  return yield* new CatalogError({
    reason: new AmbiguousTables({
      path: folder,
      role: "events",
      files: groups.map((group) => nameOf(group, folder, path)),
      why:
        "their names and columns do not show that they are parts of one table, or train, valid and test files of one split"
    })
  })
})

/** Returns the items among groups; a table with a usual key is preferred to one with the key `id`. */
const itemsOf = Effect.fnUntraced(function*(
  folder: string,
  groups: ReadonlyArray<Group>,
  source: TableConfig.Files,
  column?: string
) {
  const path = yield* Path.Path
  const candidates = groups.filter(({ table }) => !(table instanceof CatalogError) && isItems(table, source))
  const usual = candidates.filter(({ table }) =>
    ColumnRoles.columnOf("item", (table as TableFile.TableFile).columns, source.columns) !== undefined
  )
  const best = usual.length > 0 ? usual : candidates
  if (best.length <= 1) return best[0]?.files
  // Of tables of products and customers, the events' column "product_id" selects the products.
  const word = (column ?? "").toLowerCase().replace(/:\w+$/, "").replace(/[-_ ]?(id|key|code|no)$/, "")
  const named = best.filter(({ files }) => word.length > 2 && path.basename(files[0]!).toLowerCase().includes(word))
  if (named.length === 1) return named[0]!.files
  return yield* new CatalogError({
    reason: new AmbiguousTables({
      path: folder,
      role: "items",
      files: best.map((group) => nameOf(group, folder, path)),
      why: "each has a key and a title"
    })
  })
})

/** Returns remarks on the tables that are not read; one without a header line may hold the titles. */
const notRead = (
  groups: ReadonlyArray<Group>,
  hasItems: boolean,
  name: (group: Group) => string
): ReadonlyArray<string> => {
  if (groups.length === 0) return []
  const broken = groups.flatMap(({ table }) => table instanceof CatalogError ? [`not read: ${table.message}`] : [])
  const alone = groups.filter(({ table }) => !(table instanceof CatalogError))
  const names = alone.slice(0, 5).map(name).join(", ")
  const bare = groups.flatMap(({ files, table }) =>
    !hasItems && !(table instanceof CatalogError) && table.header === false && table.columns.length > 1 &&
      files.length === 1
      ? [table]
      : []
  )
  return [
    ...(alone.length === 0 ? [] : [`not read: ${names}${alone.length > 5 ? ` and ${alone.length - 5} more` : ""}`]),
    ...broken.slice(0, 3),
    ...bare.slice(0, 1).map((table) =>
      `${table.file} has no header line (first row ${JSON.stringify(table.columns)}); if it holds the items' titles: ` +
      `${TableProposal.text(TableProposal.ofItems(table))} in a sidereal.json beside it`
    )
  ]
}

/** Recognises a table of events and one of items beside it; `file` is the file of events, where one was passed. */
export const discover = Effect.fn("TableFolder.discover")(function*(
  folder: string,
  config: TableConfig.TableConfig,
  file?: string
): Effect.fn.Return<Discovered, CatalogError, Needs> {
  const shared = TableConfig.found(config, [], "events")
  const all = yield* list(folder)
  const groups = yield* groupsOf(folder, all.filter((one) => one !== file), undefined)
  const opened = groups.filter((group): group is Group & { readonly table: TableFile.TableFile } =>
    !(group.table instanceof CatalogError)
  )
  const found = file !== undefined
    ? { files: [file], parts: undefined }
    : shared.form?.columns !== undefined
    // A configured header applies to the only file, or to all files of one table.
    ? yield* eventsOf(folder, groups)
    : yield* eventsOf(folder, opened.filter(({ table }) => isEvents(table, shared.columns)))
  const looked = groups.map(({ table }) => table)
  if (found.files.length === 0) return { tables: undefined, looked }
  const itemSource = TableConfig.found(config, [], "items")
  const events = TableConfig.found(config, found.files, "events")
  const first = yield* TableFile.open(found.files[0]!, events.form)
  const column = ColumnRoles.columnOf("item", first.columns, events.columns)
  const items = config.items === undefined
    ? yield* itemsOf(folder, opened.filter(({ files }) => !files.includes(found.files[0]!)), itemSource, column)
    : undefined
  const path = yield* Path.Path
  const inFolder = (one: TableConfig.Files): TableConfig.Files => ({
    ...one,
    files: one.files.map((name) => path.join(folder, name))
  })
  const ratings = events.form?.columns === undefined ? AmazonRatings.formOf(first.columns) : undefined
  return {
    tables: {
      events: ratings === undefined ? events : { ...events, form: ratings },
      items: config.items === undefined
        ? items === undefined ? undefined : TableConfig.found(config, items, "items")
        : inFolder(TableConfig.filesOf(config, config.items, "items")),
      parts: found.parts,
      notes: file !== undefined || config.items !== undefined ? [] : notRead(
        groups.filter(({ files }) => !found.files.includes(files[0]!) && items?.includes(files[0]!) !== true),
        items !== undefined,
        (group) => nameOf(group, folder, path)
      )
    },
    looked
  }
})

/** Returns the tables named in the settings of a folder. */
export const configured = Effect.fn("TableFolder.configured")(function*(
  folder: string,
  config: TableConfig.TableConfig
): Effect.fn.Return<Tables | undefined, CatalogError, Needs> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  // A folder in the settings means the files in it.
  const resolved = Effect.fnUntraced(function*(files: TableConfig.Files) {
    const paths: Array<string> = []
    for (const name of files.files) {
      const at = path.resolve(folder, name)
      const info = yield* fs.stat(at).pipe(
        Effect.mapError(() =>
          new CatalogError({
            reason: new Unreadable({ path: at, detail: `sidereal.json names it, but it does not exist` })
          })
        )
      )
      if (info.type === "Directory") paths.push(...(yield* list(at)))
      else paths.push(at)
    }
    return { ...files, files: paths } satisfies TableConfig.Files as TableConfig.Files
  })
  const { events, items, split } = config
  const itemFiles = items === undefined ? undefined : yield* resolved(TableConfig.filesOf(config, items, "items"))
  if (split !== undefined) {
    const parts = yield* Effect.forEach(
      [split.train, split.validation, split.test].flatMap((files, part) =>
        files === undefined ? [] : [{ files, part }]
      ),
      ({ files, part }) =>
        Effect.map(resolved(TableConfig.filesOf(config, files, "events")), (found) => ({ found, part }))
    )
    return {
      events: { ...parts[0]!.found, files: parts.flatMap(({ found }) => found.files) },
      items: itemFiles,
      parts: parts.flatMap(({ found, part }) => found.files.map(() => part))
    }
  }
  if (events === undefined) return undefined
  const eventFiles = yield* resolved(TableConfig.filesOf(config, events, "events"))
  if (items !== undefined) return { events: eventFiles, items: itemFiles }
  const groups = yield* groupsOf(
    folder,
    (yield* list(folder)).filter((file) => !eventFiles.files.includes(file)),
    undefined
  )
  const found = yield* itemsOf(folder, groups, TableConfig.found(config, [], "items"))
  return { events: eventFiles, items: found === undefined ? undefined : TableConfig.found(config, found, "items") }
})
