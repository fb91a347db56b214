/**
 * Manifest of a run: settings, versions, and hashes of data and artefacts.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as Durable from "./Durable.ts"
import { NoRun, RunError } from "./RunError.ts"

/** State of a data file when it was read. */
export const Source = Schema.Struct({
  /** Path relative to the folder of the data. */
  name: Schema.String,
  /** Length in bytes. */
  size: Schema.Int,
  /** Time of the last change, in milliseconds since 1970; equal size and time are taken to mean equal content. */
  modified: Schema.Finite,
  sha256: Schema.String
})

/** @see Source */
export type Source = typeof Source.Type

/**
 * Manifest of a run. `hashes` gains an entry when a stage finishes: `data`, `embeddings`, and each artefact by its
 * name.
 */
export const Manifest = Schema.Struct({
  version: Schema.Literal(1),
  created: Schema.String,
  name: Schema.String,
  seed: Schema.Int,
  settings: Schema.Record(Schema.String, Schema.Unknown),
  versions: Schema.Record(Schema.String, Schema.String),
  hashes: Schema.Record(Schema.String, Schema.String),
  /** Files of the data; absent for generated data. */
  sources: Schema.optionalKey(Schema.Array(Source))
})

/** @see Manifest */
export type Manifest = typeof Manifest.Type

/** Returns the sha256 of the concatenated texts (UTF-8) and bytes, in hexadecimal. */
export const hash = (parts: Iterable<string | Uint8Array>): string => {
  const sum = createHash("sha256")
  for (const part of parts) sum.update(part)
  return sum.digest("hex")
}

const fileOf = Effect.fnUntraced(function*(run: string) {
  return (yield* Path.Path).join(run, "manifest.json")
})

/** Returns whether a run has a manifest. */
export const exists = Effect.fn("Manifest.exists")(function*(run: string) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fileOf(run)
  return yield* fs.exists(file).pipe(Effect.mapError(Durable.storage("read", file)))
})

/** Reads the manifest of a run. */
export const read = Effect.fn("Manifest.read")(function*(run: string) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fileOf(run)
  const noRun = (found: string) => () => new RunError({ reason: new NoRun({ path: run, found }) })
  const text = yield* fs.readFileString(file).pipe(Effect.mapError(noRun("nothing")))
  return yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Manifest))(text).pipe(
    Effect.mapError(noRun("a manifest.json that cannot be read"))
  )
})

/** Writes the manifest of a run atomically. */
export const write = Effect.fn("Manifest.write")(function*(run: string, manifest: Manifest) {
  yield* Durable.write(yield* fileOf(run), `${JSON.stringify(manifest, undefined, 2)}\n`)
})

/** Sets a hash in the manifest; undefined removes it. */
export const record = Effect.fn("Manifest.record")(function*(run: string, name: string, value: string | undefined) {
  const manifest = yield* read(run)
  const { [name]: _, ...others } = manifest.hashes
  yield* write(run, { ...manifest, hashes: value === undefined ? others : { ...others, [name]: value } })
})
