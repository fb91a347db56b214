/**
 * Hashes of the data files as a run read them, so that a later command can detect changes.
 *
 * For a data file these are the file and the tables beside it; for a folder, the tables in it and in its subfolders
 * down to five levels, except hidden folders and runs. A file with unchanged size and modification time is assumed to
 * be unchanged; other files are read again. Of a file larger than 1 GiB (64 MiB for a table beside a data file) the
 * hash covers the size, the modification time, and the first and last 16 MiB.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as TableFolder from "../src/catalog/table/TableFolder.ts"
import * as Durable from "../src/run/Durable.ts"
import * as Manifest from "../src/run/Manifest.ts"

/** Pattern of file names that the import may read: tables, settings, SIDs, arrays and archives. */
const isTable = (name: string): boolean =>
  TableFolder.isRead(name) || TableFolder.isForeign(name) ||
  (!name.startsWith(".") && /\.(json|npy|user|gz)$/i.test(name))

const depth = 5
const whole = 2 ** 30
const wholeBeside = 2 ** 26
const end = 2 ** 24

/** Returns the paths of files relative to the folder of the data, in order of their names. */
const list: (
  folder: string,
  below: string,
  levels: number
) => Effect.Effect<ReadonlyArray<string>, never, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function*(folder, below, levels) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* fs.readDirectory(path.join(folder, below)).pipe(
      Effect.orElseSucceed((): ReadonlyArray<string> => [])
    )
    const found: Array<string> = []
    for (const name of names.toSorted()) {
      const at = path.join(below, name)
      const info = yield* fs.stat(path.join(folder, at)).pipe(Effect.option)
      if (info._tag === "None") continue
      if (info.value.type === "File" && isTable(name)) found.push(at)
      const isOpen = info.value.type === "Directory" && levels > 1 && !/^(\..*|runs|node_modules)$/.test(name)
      if (!isOpen) continue
      const isRun = yield* Manifest.read(path.join(folder, at)).pipe(Effect.isSuccess)
      if (!isRun) found.push(...(yield* list(folder, at, levels - 1)))
    }
    return found
  }
)

const hashOf = Effect.fnUntraced(function*(file: string, size: number, modified: number, most: number) {
  const fs = yield* FileSystem.FileSystem
  const sum = createHash("sha256")
  const take = (options: { readonly offset?: number; readonly bytesToRead?: number }) =>
    fs.stream(file, { chunkSize: 1 << 20, ...options }).pipe(
      Stream.runForEach((bytes) => Effect.sync(() => void sum.update(bytes)))
    )
  if (size <= most) yield* take({})
  else {
    sum.update(JSON.stringify([size, modified]))
    yield* take({ bytesToRead: end })
    yield* take({ offset: size - end, bytesToRead: end })
  }
  return sum.digest("hex")
})

/**
 * Returns the files of the data at a path with their hashes; files in `known` with unchanged size and modification time
 * are not read again.
 */
export const of = Effect.fn("DataHash.of")(function*(data: string, known: ReadonlyArray<Manifest.Source> = []) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { type } = yield* fs.stat(data).pipe(Effect.mapError(Durable.storage("read", data)))
  const isFolder = type === "Directory"
  const folder = isFolder ? data : path.dirname(data)
  const own = isFolder ? undefined : path.basename(data)
  const names = yield* list(folder, "", isFolder ? depth : 1)
  const before = new Map(known.map((source) => [source.name, source]))
  const sources: Array<Manifest.Source> = []
  for (const name of own === undefined ? names : new Set([own, ...names])) {
    const file = path.join(folder, name)
    const info = yield* fs.stat(file).pipe(Effect.option)
    if (info._tag === "None") continue
    const size = Number(info.value.size)
    const modified = info.value.mtime._tag === "Some" ? info.value.mtime.value.getTime() : 0
    const same = before.get(name)
    const most = own === undefined || name === own ? whole : wholeBeside
    if (same?.size === size && same.modified === modified) sources.push(same)
    else {
      // An unreadable file is skipped here; the import reports it if it needs it.
      const sha256 = yield* hashOf(file, size, modified, most).pipe(Effect.option)
      if (sha256._tag === "Some") sources.push({ name, size, modified, sha256: sha256.value })
    }
  }
  return { folder, isFolder, sources }
})

/** Returns one hash of all files. */
export const total = (sources: ReadonlyArray<Manifest.Source>): string =>
  Manifest.hash(sources.map(({ name, sha256 }) => `${JSON.stringify(name)}${sha256}`))

/**
 * Returns the current files of the data, and the paths of the files that have changed: different, removed, or, in a
 * folder, added beside a file of the same kind. New files beside a single data file are ignored.
 */
export const compare = Effect.fn("DataHash.compare")(function*(data: string, before: ReadonlyArray<Manifest.Source>) {
  const path = yield* Path.Path
  const { folder, isFolder, sources } = yield* of(data, before)
  const [was, is] = [before, sources].map((files) => new Map(files.map(({ name, sha256 }) => [name, sha256])))
  const kind = (name: string) => path.join(path.dirname(name), `*${path.extname(name)}`)
  const kinds = new Set(before.map(({ name }) => kind(name)))
  const changed = [
    ...before.filter(({ name, sha256 }) => is!.get(name) !== sha256),
    ...sources.filter(({ name }) =>
      !was!.has(name) && (name === "sidereal.json" || (isFolder && kinds.has(kind(name))))
    )
  ]
  return { sources, changed: changed.map(({ name }) => path.join(folder, name)) }
})
