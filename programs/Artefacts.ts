/**
 * Artefacts of a run: files that are made once, kept, and verified at every read.
 *
 * The manifest contains the SHA-256 of every artefact. The hash is removed before an artefact is replaced and recorded
 * after the new file is written. A file without a hash is therefore of an older version, or its writer was stopped in
 * between; as files are replaced atomically, it is complete, and its hash is recorded if its content is valid. A file
 * with a different hash is damaged.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Durable from "../src/run/Durable.ts"
import * as Manifest from "../src/run/Manifest.ts"
import { Corrupt, NoArtefact, RunError } from "../src/run/RunError.ts"

/** File format of an artefact. */
export interface Codec<A> {
  readonly encode: (value: A) => Uint8Array
  /** Decodes the bytes of a file; throws if they are not such an artefact. */
  readonly decode: (bytes: Uint8Array) => A
}

/** Returns the codec of a JSON artefact; `indent` is the number of spaces per level. */
export const json = <A, I>(schema: Schema.Codec<A, I>, indent?: number): Codec<A> => {
  const [encode, decode] = [Schema.encodeSync(schema), Schema.decodeUnknownSync(schema)]
  return {
    encode: (value) => Buffer.from(JSON.stringify(encode(value), undefined, indent)),
    decode: (bytes) => decode(JSON.parse(Buffer.from(bytes).toString()))
  }
}

/** Options of reading or making an artefact. */
export interface ArtefactOptions<A> {
  /** Function that returns whether the file of the run may be used; if not, it is made again. @default always */
  readonly isCurrent?: ((value: A) => boolean) | undefined
  /** Whether the value is kept in memory for later calls in this process. @default true */
  readonly remember?: boolean | undefined
}

/** Artefacts of a run. */
export interface Artefacts {
  /** Reads an artefact, or makes and keeps it; concurrent callers share one computation. */
  artefact<A, E, R>(
    name: string,
    make: Effect.Effect<A, E, R>,
    codec: Codec<A>,
    options?: ArtefactOptions<A>
  ): Effect.Effect<A, E | RunError, R>
  /** Reads an artefact that `command` makes; fails with `NoArtefact` if it is missing. */
  kept<A>(name: string, codec: Codec<A>, command: string): Effect.Effect<A, RunError>
  /** Writes an artefact and replaces an older one. */
  keep<A>(name: string, value: A, codec: Codec<A>): Effect.Effect<void, RunError>
  readonly manifest: Effect.Effect<Manifest.Manifest, RunError>
  /** Changes the manifest; one change at a time. */
  change<E, R>(
    how: (manifest: Manifest.Manifest) => Effect.Effect<Manifest.Manifest, E, R>
  ): Effect.Effect<void, E | RunError, R>
}

/** Opens the artefacts in the folder of a run; with `readOnly` nothing is written, not even a missing hash. */
export const make = Effect.fnUntraced(function*(run: string, readOnly: boolean) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const services = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const known = new Map<string, unknown>()
  const makers = new Map<string, Semaphore.Semaphore>()
  const makerOf = (name: string) => {
    const found = makers.get(name) ?? Semaphore.makeUnsafe(1)
    makers.set(name, found)
    return found
  }
  const lock = yield* Semaphore.make(1)
  const manifest = Manifest.read(run).pipe(Effect.provideContext(services))
  const setHash = (name: string, hash: string | undefined) =>
    Manifest.record(run, name, hash).pipe(Effect.provideContext(services))

  const write = (name: string, bytes: Uint8Array) =>
    Effect.gen(function*() {
      if ((yield* manifest).hashes[name] !== undefined) yield* setHash(name, undefined)
      yield* Durable.write(path.join(run, name), bytes).pipe(Effect.provideContext(services))
      yield* setHash(name, Manifest.hash([bytes]))
    }).pipe(lock.withPermit, Effect.uninterruptible)

  const read = Effect.fnUntraced(function*<A>(name: string, codec: Codec<A>, remedy: string) {
    const at = path.join(run, name)
    const bytes = yield* fs.readFile(at).pipe(
      Effect.catchReason("PlatformError", "NotFound", () => Effect.void),
      Effect.mapError(Durable.storage("read", at))
    )
    if (!(bytes instanceof Uint8Array)) return undefined
    const corrupt = (expected: string, found: string) =>
      new RunError({ reason: new Corrupt({ file: at, expected, found, remedy }) })
    const expected = (yield* manifest).hashes[name]
    const found = Manifest.hash([bytes])
    if (expected !== undefined && expected !== found) {
      return yield* corrupt(`sha256 ${expected}`, `${bytes.byteLength} bytes with sha256 ${found}`)
    }
    const value = yield* Effect.try({
      try: () => codec.decode(bytes),
      catch: (cause) => {
        const detail = cause instanceof Error ? cause.message : String(cause)
        return corrupt("what the run wrote", `content that cannot be read (${detail.replaceAll(/\s*\n\s*/g, " ")})`)
      }
    })
    if (expected === undefined && !readOnly) yield* setHash(name, found).pipe(lock.withPermit)
    return { value }
  })

  const artefacts: Artefacts = {
    artefact: <A, E, R>(name: string, making: Effect.Effect<A, E, R>, codec: Codec<A>, {
      isCurrent = () => true,
      remember = true
    }: ArtefactOptions<A> = {}) =>
      Effect.gen(function*() {
        // The stages of one command ask for the same artefacts.
        if (known.has(name)) return known.get(name) as A
        const found = yield* read(
          name,
          codec,
          readOnly
            ? `delete it and run \`sidereal tokenize --run ${run}\`, which makes it again`
            : "delete it and run the command again, which makes it again"
        )
        if (found === undefined || !isCurrent(found.value)) {
          if (readOnly) return yield* new RunError({ reason: new NoArtefact({ path: run, file: name }) })
          const value = yield* making
          yield* write(name, codec.encode(value))
          if (remember) known.set(name, value)
          return value
        }
        if (remember) known.set(name, found.value)
        return found.value
      }).pipe(makerOf(name).withPermit),
    kept: (name, codec, command) =>
      Effect.gen(function*() {
        const again = `sidereal ${command} --run ${run}`
        const found = yield* read(name, codec, `run \`${again}\`, which makes it again`)
        return found === undefined
          ? yield* new RunError({ reason: new NoArtefact({ path: run, file: name, command }) })
          : found.value
      }),
    keep: (name, value, codec) => Effect.suspend(() => write(name, codec.encode(value))),
    manifest,
    change: (how) =>
      Effect.gen(function*() {
        const next = yield* how(yield* manifest)
        yield* Manifest.write(run, next).pipe(Effect.provideContext(services))
      }).pipe(lock.withPermit)
  }
  return artefacts
})
