/**
 * Imports files that a test writes.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as DuckDb from "../../layers/duckdb/DuckDb.ts"
import * as TarXz from "../../layers/xz/TarXz.ts"
import { FilterConfig } from "../../src/catalog/Assemble.ts"
import * as Import from "../../src/catalog/Import.ts"

/** What importing needs. */
export const services = Layer.merge(DuckDb.layer, TarXz.layer).pipe(Layer.provideMerge(NodeServices.layer))

/** A filter by its settings. */
export const filter = (values: typeof FilterConfig.Encoded) => Schema.decodeSync(FilterConfig)(values)

/** Files by name. */
export type Files = Readonly<Record<string, string | Uint8Array>>

/** Writes files into a fresh folder that goes with the Scope; returns its path. */
export const writing = Effect.fnUntraced(function*(files: Files) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = yield* fs.makeTempDirectoryScoped()
  for (const [name, content] of Object.entries(files)) {
    yield* fs.makeDirectory(path.dirname(path.join(folder, name)), { recursive: true })
    yield* fs.writeFile(path.join(folder, name), typeof content === "string" ? Buffer.from(content) : content)
  }
  return folder
})

/** Writes files into a fresh folder and imports it, or one file of it. */
export const importing = (files: Files, file?: string, options: Import.ImportOptions = {}) =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    const folder = yield* writing(files)
    return yield* Import.load(file === undefined ? folder : path.join(folder, file), options)
  }).pipe(Effect.scoped)
