/**
 * Run of a command: its folder, settings and artefacts.
 *
 * Every artefact is made once and kept; a stage that finds its artefact reads it, which makes a run resumable. Nothing
 * is made or removed before the folder is recognised as a run's and the settings are checked.
 */
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import packageJson from "../package.json" with { type: "json" }
import { CatalogError, Unreadable } from "../src/catalog/CatalogError.ts"
import * as TableConfig from "../src/catalog/table/TableConfig.ts"
import * as Durable from "../src/run/Durable.ts"
import * as Manifest from "../src/run/Manifest.ts"
import { DataChanged, type RunError, RunError as RunFailure } from "../src/run/RunError.ts"
import * as RunLock from "../src/run/RunLock.ts"
import * as Artefacts from "./Artefacts.ts"
import * as DataHash from "./DataHash.ts"
import * as RunFolder from "./RunFolder.ts"
import * as RunSettings from "./RunSettings.ts"
import * as Settings from "./Settings.ts"
import { SettingsError } from "./SettingsError.ts"

/** Options of the command line for a run. */
export interface WorkspaceOptions {
  /** Folder of the run. @default `runs/<data name>` */
  readonly run?: string | undefined
  /** Settings of the command line; those from which something was made must equal the run's. */
  readonly given: Settings.PartialSettings
  /** Parts of `given` with their sources, for messages. @default the command line */
  readonly parts?: ReadonlyArray<Settings.Part> | undefined
  /** Whether the files of an existing run are removed first. */
  readonly fresh: boolean
  /** Whether the run must exist. */
  readonly existing: boolean
  /** Whether nothing is written, because the run may be in use. @default false */
  readonly readOnly?: boolean | undefined
}

/** Run of a command. */
export class Workspace extends Context.Service<
  Workspace,
  Omit<Artefacts.Artefacts, "change"> & {
    readonly run: string
    readonly settings: Settings.Settings
    /** Settings without defaults, which can be sent to another thread. */
    readonly given: Settings.PartialSettings
    /** Whether the run already had SIDs, so that their inputs are not needed. */
    readonly tokenized: boolean
    file(name: string): string
    /** Records a hash in the manifest that belongs to no artefact. */
    record(name: string, hash: string): Effect.Effect<void, RunError>
    /** Records the current files of the data; of the tables beside a single data file only those that were read. */
    recordSources(data: string, read?: ReadonlyArray<string>): Effect.Effect<void, RunError>
  }
>()("sidereal/programs/Workspace") {
  /** Opens or starts a run and locks it against other processes until the Scope closes. */
  static readonly layer = (options: WorkspaceOptions) => Layer.effect(Workspace, open(options))
}

/** Hash of the files of the program, sources or compiled, in the order of their names. */
const codeHash = Effect.fnUntraced(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = path.join(import.meta.dirname, "..")
  const kind = path.extname(import.meta.filename)
  const parts: Array<string> = []
  for (const folder of ["layers", "programs", "src"]) {
    for (const name of (yield* fs.readDirectory(path.join(root, folder), { recursive: true })).toSorted()) {
      if (name.endsWith(kind)) parts.push(folder, name, yield* fs.readFileString(path.join(root, folder, name)))
    }
  }
  return Manifest.hash([JSON.stringify(parts)])
}, Effect.mapError(Durable.storage("read", "the sources")))

/** Settings that `--fresh` without data keeps: the same data, read in the same way. */
const dataSettings = ["data", "core", "filter", "split", "strict"]

/** Warns or fails if the data have changed since the run read them. */
const checkData = Effect.fnUntraced(function*(
  { existing, parts, readOnly, run }: Pick<WorkspaceOptions, "existing" | "readOnly"> & {
    readonly parts: ReadonlyArray<Settings.Part>
    readonly run: string
  },
  data: string,
  manifest: Manifest.Manifest
) {
  const fs = yield* FileSystem.FileSystem
  if (manifest.sources === undefined) return
  if (!(yield* fs.exists(data).pipe(Effect.orElseSucceed(() => false)))) {
    yield* Console.error(`${data} no longer exists; ${run} continues with the data that it read earlier`)
    return
  }
  const { changed, sources } = yield* DataHash.compare(data, manifest.sources)
  if (changed.length > 0) {
    const reason = new DataChanged({ path: run, files: changed })
    const isNamed = parts.some(({ settings }) => (settings as Settings.PartialSettings).data !== undefined)
    // A command that names the data requires them as they are now; one that continues a run requires those of the run.
    if (isNamed && !existing) return yield* new RunFailure({ reason })
    yield* Console.error(reason.message)
  } else if (readOnly !== true && JSON.stringify(sources) !== JSON.stringify(manifest.sources)) {
    yield* Manifest.write(run, { ...manifest, sources })
  }
})

const open = Effect.fn("Workspace.open")(function*(options: WorkspaceOptions) {
  const { existing, fresh, readOnly } = options
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const services = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const given = options.parts ?? [{ source: "the command line", settings: options.given }]
  if (options.run === "") {
    return yield* new SettingsError({
      source: "the command line",
      problems: ["run: Expected a path, got \"\""]
    })
  }
  if (existing && fresh) {
    return yield* new SettingsError({
      source: "the command line",
      problems: ["--fresh: this command reads a finished run; `sidereal demo --fresh` begins one again"]
    })
  }
  const parts: Array<Settings.Part> = []
  for (const { settings, source } of given) {
    parts.push({ source, settings: yield* Settings.located(settings as Record<string, unknown>) })
  }
  const asked = (Settings.merge(...parts.map(({ settings }) => settings as Record<string, unknown>))["data"]) as
    | string
    | undefined
  const nameOf = (data: string | undefined) =>
    data === undefined ? "generated-shop" : path.basename(path.resolve(data)) || "data"
  const run = options.run ?? path.join("runs", nameOf(asked))

  const found = yield* RunFolder.inspect(run, { existing, fresh })
  if (fresh && asked === undefined && found?.settings["data"] !== undefined) {
    parts.unshift({
      source: path.join(run, "manifest.json"),
      settings: Object.fromEntries(
        dataSettings.flatMap((key) => key in found.settings ? [[key, found.settings[key]]] : [])
      )
    })
  }
  const data = (parts.findLast(({ settings }) => (settings as Settings.PartialSettings).data !== undefined)?.settings as
    | Settings.PartialSettings
    | undefined)?.data ?? found?.settings["data"]
  if (typeof data === "string" && data !== "") yield* RunFolder.apart(run, data)
  // In a new or restarted run everything is checked before anything is written.
  if (found === undefined || fresh) yield* checkedAnew()

  if (readOnly !== true) {
    yield* Durable.makeFolder(run)
    for (const { host, pid, since } of yield* RunLock.acquire(run)) {
      yield* Console.error(`${run} was in use by process ${pid} (${host}, since ${since}), which is gone; going on`)
    }
  }
  // The run may have changed before the lock was acquired.
  const before = yield* RunFolder.inspect(run, { existing, fresh })
  const made = before === undefined || fresh ? undefined : yield* RunSettings.madeBy(run)
  const { changed, notes, partial, settings } = yield* RunSettings.plan(run, fresh ? undefined : before, made, parts)
  if (made?.stages.dataset !== true && settings.data !== undefined) yield* checkThere(settings.data)
  for (const text of notes) yield* Console.error(text)
  if (fresh && before !== undefined) yield* RunFolder.clear(run)
  const isNew = made === undefined || !Object.values(made.stages).includes(true)
  if (changed && readOnly !== true) {
    yield* Manifest.write(
      run,
      before === undefined || isNew
        ? {
          version: 1,
          created: new Date().toISOString(),
          name: nameOf(settings.data),
          seed: settings.seed,
          settings: { ...partial, seed: settings.seed },
          versions: { sidereal: packageJson.version, node: process.versions.node, ...packageJson.dependencies },
          hashes: { code: yield* codeHash() }
        }
        : { ...before, settings: partial }
    )
  }
  if (made?.stages.dataset === true && settings.data !== undefined) {
    yield* checkData({ existing, parts, readOnly, run }, settings.data, yield* Manifest.read(run))
  }
  const stale = made === undefined ? undefined : RunSettings.staleness(made)
  if (stale !== undefined) yield* Console.error(stale)

  const file = (name: string) => path.join(run, name)
  const { change, ...artefacts } = yield* Artefacts.make(run, readOnly === true)
  return Workspace.of({
    ...artefacts,
    run,
    settings,
    given: partial,
    tokenized: made?.stages.sids === true,
    file,
    record: (name, hash) =>
      change((manifest) => Effect.succeed({ ...manifest, hashes: { ...manifest.hashes, [name]: hash } })),
    recordSources: (data, read) =>
      change(Effect.fnUntraced(function*(manifest) {
        const { folder, isFolder, sources: all } = yield* DataHash.of(data, manifest.sources)
        const isRead = ({ name }: Manifest.Source) =>
          name === TableConfig.fileName || read?.some((one) => path.relative(folder, one) === name) === true
        const sources = isFolder || read === undefined ? all : all.filter(isRead)
        return { ...manifest, hashes: { ...manifest.hashes, data: DataHash.total(sources) }, sources }
      })).pipe(Effect.provideContext(services))
  })

  function checkThere(location: string) {
    return fs.stat(location).pipe(
      Effect.mapError((error) =>
        new CatalogError({ reason: new Unreadable({ path: location, detail: Durable.wordsOf(error) }) })
      )
    )
  }

  function checkedAnew() {
    return Effect.gen(function*() {
      const { settings } = yield* RunSettings.plan(run, undefined, undefined, parts)
      if (settings.data !== undefined) yield* checkThere(settings.data)
    })
  }
})
