/**
 * The manifest of a run: settings, versions, and hashes of data and artefacts.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as Durable from "./Durable.ts"
import { NoRun, RunError } from "./RunError.ts"

/** A file of the data as it was when it was read. */
export const Source = Schema.Struct({
  /** Its path from the folder of the data. */
  name: Schema.String,
  size: Schema.Int,
  /** Milliseconds since 1970; while size and time stay, the content is taken to be the same. */
  modified: Schema.Finite,
  sha256: Schema.String
})

/** @see Source */
export type Source = typeof Source.Type

/** Settings, origin and hashes. `hashes` grows as stages finish: `data`, `embeddings`, and each artefact by its name. */
export const Manifest = Schema.Struct({
  version: Schema.Literal(1),
  created: Schema.String,
  name: Schema.String,
  seed: Schema.Int,
  settings: Schema.Record(Schema.String, Schema.Unknown),
  versions: Schema.Record(Schema.String, Schema.String),
  hashes: Schema.Record(Schema.String, Schema.String),
  /** The files of the data, absent for generated data. */
  sources: Schema.optionalKey(Schema.Array(Source))
})

/** @see Manifest */
export type Manifest = typeof Manifest.Type

/** Returns the sha256 of concatenated texts and bytes, in hexadecimal. */
export const hash = (parts: Iterable<string | Uint8Array>): string => {
  const sum = createHash("sha256")
  for (const part of parts) sum.update(part)
  return sum.digest("hex")
}

const fileOf = Effect.fnUntraced(function*(run: string) {
  return (yield* Path.Path).join(run, "manifest.json")
})

/** Tells whether a run has a manifest. */
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

/** Writes the manifest of a run, whole. */
export const write = Effect.fn("Manifest.write")(function*(run: string, manifest: Manifest) {
  yield* Durable.write(yield* fileOf(run), `${JSON.stringify(manifest, undefined, 2)}\n`)
})

/** Records a hash by its name; undefined removes it. */
export const record = Effect.fn("Manifest.record")(function*(run: string, name: string, value: string | undefined) {
  const manifest = yield* read(run)
  const { [name]: _, ...others } = manifest.hashes
  yield* write(run, { ...manifest, hashes: value === undefined ? others : { ...others, [name]: value } })
})
