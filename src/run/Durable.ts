/**
 * Atomic file writes: written under a temporary name beside the target, flushed to the disk, then renamed.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { RunError, Storage } from "./RunError.ts"

/**
 * Returns the system's message of a failure, such as `ENOSPC: no space left on device`, else the error's own message.
 */
export const wordsOf = (error: { readonly message: string }): string => {
  const { cause, reason } = error as { readonly cause?: unknown; readonly reason?: unknown }
  for (const inner of [reason, cause]) {
    if (!(inner instanceof Error)) continue
    const words = wordsOf(inner)
    if (/^E[A-Z0-9]+: /.test(words)) return words
  }
  return error.message
}

/** Returns a function that converts failures of a file operation on `path` to `RunError`. */
export const storage = (operation: string, path: string) => (error: { readonly message: string }): RunError =>
  new RunError({ reason: new Storage({ path, operation, detail: wordsOf(error) }) })

/**
 * Creates a folder and its missing parents one by one; where the system refuses one, its message becomes the error.
 * (With `recursive`, Node does not return on file systems that cannot create folders, such as /proc.)
 */
export const makeFolder: (
  path: string
) => Effect.Effect<void, RunError, FileSystem.FileSystem | Path.Path> = Effect.fn("Durable.makeFolder")(
  function*(folder) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const missing: Array<string> = []
    for (let at = path.resolve(folder);; at = path.dirname(at)) {
      const found = yield* fs.stat(at).pipe(
        Effect.map(({ type }) => type),
        Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed("Absent")),
        // A path below a file does not exist; the file itself is found further up.
        Effect.catchIf((error) => wordsOf(error).startsWith("ENOTDIR"), () => Effect.succeed("Absent")),
        Effect.mapError(storage("make", folder))
      )
      if (found === "Directory") break
      if (found !== "Absent" || at === path.dirname(at)) {
        return yield* storage("make", folder)({ message: `ENOTDIR: ${at} is not a folder` })
      }
      missing.push(at)
    }
    for (const at of missing.toReversed()) {
      yield* fs.makeDirectory(at).pipe(
        Effect.catchReason("PlatformError", "AlreadyExists", (_, error) =>
          Effect.filterOrFail(
            fs.stat(at).pipe(Effect.mapError(() => error)),
            ({ type }) => type === "Directory",
            () => error
          )),
        Effect.mapError(storage("make", at))
      )
    }
  }
)

/**
 * Writes parts one after the other to a file and flushes it to the disk; never writes through a link. A part is taken
 * once the one before it is written.
 */
export const writeParts = Effect.fn("Durable.writeParts")(function*(path: string, parts: Iterable<Uint8Array>) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.open(path, { flag: "w", noFollow: true })
  for (const part of parts) yield* file.writeAll(part)
  yield* file.sync
}, Effect.scoped)

/** Writes a file and flushes it to the disk; never writes through a link. */
export const writeFlushed = (path: string, bytes: Uint8Array) => writeParts(path, [bytes])

/** Flushes the entries of a folder to the disk; does nothing on systems that cannot open folders. */
export const flushFolder = Effect.fn("Durable.flushFolder")(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.open(path, { flag: "r" }).pipe(
    Effect.flatMap((file) => file.sync),
    Effect.scoped,
    Effect.ignore
  )
})

/** Replaces a file atomically. */
export const write: (
  path: string,
  content: string | Uint8Array
) => Effect.Effect<void, RunError, FileSystem.FileSystem | Path.Path> = Effect.fn("Durable.write")(
  function*(path, content) {
    const fs = yield* FileSystem.FileSystem
    const { dirname } = yield* Path.Path
    const temporary = `${path}.partial`
    yield* makeFolder(dirname(path))
    yield* writeFlushed(temporary, typeof content === "string" ? Buffer.from(content) : content).pipe(
      Effect.andThen(fs.rename(temporary, path)),
      Effect.andThen(flushFolder(dirname(path))),
      Effect.onError(() => Effect.ignore(fs.remove(temporary, { force: true }))),
      Effect.mapError(storage("write", path))
    )
  },
  Effect.uninterruptible
)
