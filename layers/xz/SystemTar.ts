/**
 * Unpacks archives with the system's `tar` and `xz`.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { spawn } from "node:child_process"
import { CatalogError, MissingProgram, Unreadable } from "../../src/catalog/CatalogError.ts"
import { Archive } from "../../src/catalog/reader/Archive.ts"

const run = (program: string, args: ReadonlyArray<string>, file: string): Effect.Effect<void, CatalogError> =>
  Effect.callback((resume) => {
    const child = spawn(program, [...args], { stdio: ["ignore", "ignore", "pipe"] })
    let words = ""
    child.stderr.on("data", (chunk) => {
      words += String(chunk)
    })
    child.on("error", () => resume(Effect.fail(new CatalogError({ reason: new MissingProgram({ program, file }) }))))
    child.on("close", (code) =>
      resume(
        code === 0
          ? Effect.void
          : Effect.fail(
            new CatalogError({
              reason: /xz|not found|Cannot exec/i.test(words) && /exec|not found/i.test(words)
                ? new MissingProgram({ program: "xz", file })
                : new Unreadable({ path: file, detail: words.trim().split("\n")[0] ?? `${program} ended with ${code}` })
            })
          )
      ))
    return Effect.sync(() => child.kill())
  })

/** The layer. */
export const layer: Layer.Layer<Archive, never, FileSystem.FileSystem> = Layer.effect(
  Archive,
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return Archive.of({
      unpackTarXz: Effect.fn("Archive.unpackTarXz")(function*(path) {
        const folder = yield* fs.makeTempDirectoryScoped({ prefix: "sidereal-" }).pipe(
          Effect.mapError((error) => new CatalogError({ reason: new Unreadable({ path, detail: error.message }) }))
        )
        yield* run("tar", ["-xJf", path, "-C", folder], path)
        return folder
      })
    })
  })
)
