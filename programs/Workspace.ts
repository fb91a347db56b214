/**
 * The run that a command works on: its folder, settings and artefacts.
 *
 * Every artefact is made once and kept; a stage that finds its artefact reads it. That is what makes a run resumable.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Semaphore from "effect/Semaphore"
import packageJson from "../package.json" with { type: "json" }
import * as Durable from "../src/run/Durable.ts"
import * as Manifest from "../src/run/Manifest.ts"
import { OtherSettings, type RunError, RunError as RunFailure } from "../src/run/RunError.ts"
import * as Settings from "./Settings.ts"

/** What the command line asks for. */
export interface WorkspaceOptions {
  /** The run's folder; by default `runs/<data name>`. */
  readonly run?: string | undefined
  /** Settings given now: they must agree with those of an existing run. */
  readonly given: Settings.PartialSettings
  /** Removes an existing run first. */
  readonly fresh: boolean
  /** The run must exist already. */
  readonly existing: boolean
}

/** How an artefact is kept. */
export interface Codec<A> {
  readonly encode: (value: A) => Uint8Array
  readonly decode: (bytes: Uint8Array) => A
}

/** A run. */
export class Workspace extends Context.Service<Workspace, {
  readonly run: string
  readonly settings: Settings.Settings
  /** The settings as they were given, without defaults: what another thread is sent. */
  readonly given: Settings.PartialSettings
  file(name: string): string
  /** Reads an artefact, or makes and keeps it. */
  artefact<A, E, R>(name: string, make: Effect.Effect<A, E, R>, codec: Codec<A>): Effect.Effect<A, E | RunError, R>
  readonly manifest: Effect.Effect<Manifest.Manifest, RunError>
  record(name: string, hash: string): Effect.Effect<void, RunError>
}>()("sidereal/programs/Workspace") {
  /** Opens or begins a run. */
  static readonly layer = (options: WorkspaceOptions) => Layer.effect(Workspace, open(options))
}

/** The hash of the sources that make the run, file by file in the order of their names. */
const codeHash = Effect.fnUntraced(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = path.join(import.meta.dirname, "..")
  const parts: Array<string> = []
  for (const folder of ["layers", "programs", "src"]) {
    for (const name of (yield* fs.readDirectory(path.join(root, folder), { recursive: true })).toSorted()) {
      if (name.endsWith(".ts")) parts.push(folder, name, yield* fs.readFileString(path.join(root, folder, name)))
    }
  }
  return Manifest.hash([JSON.stringify(parts)])
}, Effect.mapError(Durable.storage("read", "the sources")))

const open = Effect.fn("Workspace.open")(function*({ existing, fresh, given, run: asked }: WorkspaceOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const services = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const asGiven = yield* Settings.decode(given, "the command line")
  const name = asGiven.data === undefined ? "generated-shop" : path.basename(path.resolve(asGiven.data))
  const run = asked ?? path.join("runs", name)
  if (fresh) {
    yield* fs.remove(run, { recursive: true, force: true }).pipe(Effect.mapError(Durable.storage("remove", run)))
  }
  if (!(yield* Manifest.exists(run))) {
    if (existing) yield* Manifest.read(run)
    yield* Manifest.write(run, {
      version: 1,
      created: new Date().toISOString(),
      name,
      seed: asGiven.seed,
      settings: Settings.merge(given, {
        seed: asGiven.seed,
        ...(asGiven.data === undefined ? {} : { data: path.resolve(asGiven.data) })
      }),
      versions: { sidereal: packageJson.version, node: process.versions.node, ...packageJson.dependencies },
      hashes: { code: yield* codeHash() }
    })
  }
  const manifest = yield* Manifest.read(run)
  const held = manifest.settings
  const wanted: Record<string, unknown> = {
    ...given,
    ...(given.data === undefined ? {} : { data: path.resolve(given.data) })
  }
  for (const [field, value] of Object.entries(wanted)) {
    const merged = JSON.stringify(Settings.merge(held)[field])
    if (value === undefined || JSON.stringify(value) === merged) continue
    return yield* new RunFailure({
      reason: new OtherSettings({ path: run, field, expected: merged ?? "its default", found: JSON.stringify(value) })
    })
  }
  const settings = yield* Settings.decode(held, path.join(run, "manifest.json"))
  const file = (name: string) => path.join(run, name)
  const known = new Map<string, unknown>()
  // Artefacts may be made side by side; the manifest is read, changed and written by one at a time.
  const manifestLock = yield* Semaphore.make(1)
  const record = (name: string, hash: string) =>
    Manifest.record(run, name, hash).pipe(Effect.provideContext(services), manifestLock.withPermits(1))
  return Workspace.of({
    run,
    settings,
    given: held as Settings.PartialSettings,
    file,
    artefact: <A, E, R>(name: string, make: Effect.Effect<A, E, R>, codec: Codec<A>) =>
      Effect.gen(function*() {
        // The stages of one command ask for the same artefacts.
        if (known.has(name)) return known.get(name) as A
        const at = file(name)
        const kept = yield* fs.readFile(at).pipe(Effect.option)
        if (kept._tag === "Some") {
          const value = codec.decode(kept.value)
          known.set(name, value)
          return value
        }
        const made = yield* make
        known.set(name, made)
        const bytes = codec.encode(made)
        yield* Durable.write(at, bytes).pipe(Effect.provideContext(services))
        yield* record(name, Manifest.hash([bytes]))
        return made
      }),
    manifest: Manifest.read(run).pipe(Effect.provideContext(services)),
    record
  })
})
