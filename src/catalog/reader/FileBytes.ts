/**
 * Reading of files as bytes, decompressed where they are gzip.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { type PlatformError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import { basename } from "node:path"
import { Duplex } from "node:stream"
import { createGunzip } from "node:zlib"
import * as Progress from "../../run/Progress.ts"
import { CatalogError, Unreadable } from "../CatalogError.ts"

/** Compression of a file, by its first bytes. */
export type Packing = "gzip" | undefined

const reasons: Readonly<Record<string, string>> = {
  NotFound: "there is no such file",
  PermissionDenied: "permission to read it is denied; chmod u+r it, or ask its owner"
}

/** Returns the message of an error, or that of its cause where it has none. */
const wordsOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  return cause.message.trim() || (cause.cause === undefined ? "" : wordsOf(cause.cause)) ||
    ("code" in cause ? String(cause.code) : cause.name)
}

/** Builds the error for a file that cannot be read. */
export const unreadable = (path: string, detail: string): CatalogError =>
  new CatalogError({ reason: new Unreadable({ path, detail }) })

/** Returns a function that converts a system error on `path` to a `CatalogError`. */
export const refused = (path: string) => (error: PlatformError): CatalogError =>
  unreadable(path, reasons[error.reason._tag] ?? wordsOf(error))

const damaged = (path: string) => (cause: unknown): CatalogError =>
  cause instanceof CatalogError
    ? cause
    : unreadable(path, `${wordsOf(cause)}; the gzip is damaged or cut off, download it again`)

/** Shows how many bytes of a file have been read. */
const followed = (
  bytes: Stream.Stream<Uint8Array, CatalogError>,
  path: string,
  size: number,
  progress: Progress.Progress["Service"]
): Stream.Stream<Uint8Array, CatalogError> => {
  const megabytes = (count: number) => Math.round(count / 1e6)
  const tracker = progress.part(`read ${basename(path)}`, megabytes(size), "MB")
  let done = 0
  return bytes.pipe(
    Stream.map((chunk) => {
      tracker.update(megabytes(done += chunk.length))
      return chunk
    }),
    Stream.ensuring(Effect.sync(() => tracker.finish()))
  )
}

/** Streams the decompressed bytes of a file; fails for a gzip that is damaged or cut off. */
export const stream = (
  path: string,
  packed: Packing,
  limit?: number | undefined
): Stream.Stream<Uint8Array, CatalogError, FileSystem.FileSystem> =>
  Stream.unwrap(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    // A megabyte per file would burden the garbage collector with thousands of small files.
    const { size } = yield* fs.stat(path).pipe(Effect.mapError(refused(path)))
    const chunkSize = Math.min(limit ?? 1 << 20, 1 << 20, Number(size) + 1)
    const read = fs.stream(path, {
      chunkSize,
      ...(limit === undefined || packed !== undefined ? {} : { bytesToRead: limit })
    }).pipe(Stream.mapError(refused(path)))
    const raw = limit === undefined ? followed(read, path, Number(size), yield* Progress.orSilent) : read
    if (packed === undefined) return raw
    return Stream.fromReadableStream({
      evaluate: () =>
        Stream.toReadableStream(raw).pipeThrough(
          // The web's DecompressionStream rejects a gzip with several members.
          Duplex.toWeb(
            createGunzip({ chunkSize: Math.max(1 << 12, Math.min(1 << 20, limit ?? 1 << 20, 8 * chunkSize)) })
          ) as ReadableWritablePair<
            Uint8Array,
            Uint8Array
          >
        ),
      onError: damaged(path)
    })
  }))

/** Returns the first decompressed bytes of a file, at most `size`. */
export const head: (
  path: string,
  packed: Packing,
  size: number
) => Effect.Effect<Buffer, CatalogError, FileSystem.FileSystem> = Effect.fn("FileBytes.head")(
  function*(path, packed, size) {
    const parts: Array<Uint8Array> = []
    let length = 0
    yield* Stream.runForEachWhile(stream(path, packed, size), (part) =>
      Effect.sync(() => {
        parts.push(part)
        length += part.length
        return length < size
      }))
    return Buffer.concat(parts).subarray(0, size)
  }
)
