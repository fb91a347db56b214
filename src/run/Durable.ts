/**
 * Files that are whole or absent: written beside their place, flushed to the disk, then renamed.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { RunError, Storage } from "./RunError.ts"

/** Turns failures of file operations into `RunError`. */
export const storage = (operation: string, path: string) => (error: { readonly message: string }): RunError =>
  new RunError({ reason: new Storage({ path, operation, detail: error.message }) })

/** Writes a file and flushes it. */
export const writeFlushed = Effect.fn("Durable.writeFlushed")(function*(path: string, bytes: Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.open(path, { flag: "w" })
  yield* file.writeAll(bytes)
  yield* file.sync
}, Effect.scoped)

/** Flushes the entries of a folder; systems that cannot open folders skip it. */
export const flushFolder = Effect.fn("Durable.flushFolder")(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.open(path, { flag: "r" }).pipe(
    Effect.flatMap((file) => file.sync),
    Effect.scoped,
    Effect.ignore
  )
})

/** Replaces a file in one step. */
export const write: (
  path: string,
  content: string | Uint8Array
) => Effect.Effect<void, RunError, FileSystem.FileSystem | Path.Path> = Effect.fn("Durable.write")(
  function*(path, content) {
    const fs = yield* FileSystem.FileSystem
    const { dirname } = yield* Path.Path
    const temporary = `${path}.partial`
    yield* fs.makeDirectory(dirname(path), { recursive: true }).pipe(
      Effect.andThen(writeFlushed(temporary, typeof content === "string" ? Buffer.from(content) : content)),
      Effect.andThen(fs.rename(temporary, path)),
      Effect.andThen(flushFolder(dirname(path))),
      Effect.mapError(storage("write", path))
    )
  },
  Effect.uninterruptible
)
