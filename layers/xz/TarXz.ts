/**
 * Unpacks `.tar.xz` archives in bounded memory, without programs of the system.
 */
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Stream from "effect/Stream"
import { CatalogError, DamagedArchive, Unreadable } from "../../src/catalog/CatalogError.ts"
import { Archive } from "../../src/catalog/reader/Archive.ts"
import * as Packages from "../../src/run/Packages.ts"

/** Status codes of xz-embedded in words. */
const faults: Readonly<Record<string, string>> = {
  2: "it has an integrity check other than CRC32 and CRC64",
  3: "there is no memory for its dictionary",
  4: "its dictionary is larger than 64 MiB",
  5: "it is not an xz file",
  6: "it uses filters other than LZMA2",
  7: "its bytes contradict each other",
  8: "it ends too early"
}

const faultOf = (cause: unknown): string => {
  const number = /error code (\d+)/.exec(String(cause))?.[1]
  // The decoder reads on at the end of an empty file.
  return number === undefined ? faults[8]! : faults[number] ?? `decoding failed with status ${number}`
}

const decompressed = (fs: FileSystem.FileSystem, file: string) =>
  Stream.unwrap(
    Effect.tryPromise({
      try: () => import("xz-decompress"),
      catch: (cause) => new Unreadable({ path: file, detail: Packages.explain(cause).message })
    }).pipe(Effect.map(({ default: xz }) => {
      let unread: PlatformError.PlatformError | undefined
      const packed = fs.stream(file).pipe(Stream.tapError((error) => Effect.sync(() => unread = error)))
      return Stream.fromReadableStream({
        evaluate: () => new xz.XzReadableStream(Stream.toReadableStream(packed)),
        onError: (cause) => unread ?? new DamagedArchive({ file, detail: faultOf(cause) })
      })
    }))
  )

/** Provides the unpacking of archives into temporary folders. */
export const layer: Layer.Layer<Archive, never, FileSystem.FileSystem | Path.Path> = Layer.effect(
  Archive,
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    return Archive.of({
      unpackTarXz: Effect.fn("Archive.unpackTarXz")(function*(file) {
        const unpack = Effect.gen(function*() {
          const folder = yield* fs.makeTempDirectoryScoped({ prefix: "sidereal-" })
          yield* decompressed(fs, file).pipe(
            Stream.pipeThroughChannel(Tar.decode()),
            Stream.runForEach(Effect.fnUntraced(function*({ body, header }) {
              // Folders are made for their files; links, devices and the like hold no data.
              if (header.type !== "File") return
              const target = path.join(folder, header.path)
              if (!target.startsWith(folder + path.sep)) {
                return yield* new DamagedArchive({ file, detail: `it holds a file outside it: ${header.path}` })
              }
              yield* fs.makeDirectory(path.dirname(target), { recursive: true })
              yield* Stream.run(body, fs.sink(target))
            }))
          )
          return folder
        })
        return yield* unpack.pipe(Effect.mapError((error) =>
          new CatalogError({
            reason: error._tag === "DamagedArchive" || error._tag === "Unreadable"
              ? error
              : error._tag === "TarError"
              ? new DamagedArchive({ file, detail: error.message })
              : new Unreadable({ path: file, detail: error.message })
          })
        ))
      })
    })
  })
)
