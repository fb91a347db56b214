/**
 * A file system that fails, or is dead from then on, at the nth of its operations.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as PlatformError from "effect/PlatformError"

/** How it fails: at one operation, or as if the process had been killed in the middle of it. */
export type Fault = "fail" | "kill"

const cut = Effect.fail(
  PlatformError.systemError({ _tag: "Unknown", module: "FileSystem", method: "test", description: "cut off" })
)

const changing = ["makeDirectory", "remove", "rename", "writeFile", "writeFileString"] as const
const reading = ["lstat", "readDirectory", "readFile", "readFileString", "stat"] as const

/** The operations of a file system and a fault at number `at`, from 0; `reached` says whether there were as many. */
export const make = (real: FileSystem.FileSystem, fault: Fault, at: number) => {
  let count = 0
  /** `torn` is what a process leaves of an operation that it is killed in. */
  const guarded = <A, R>(
    operation: Effect.Effect<A, PlatformError.PlatformError, R>,
    torn: Effect.Effect<unknown, PlatformError.PlatformError> = Effect.void
  ): Effect.Effect<A, PlatformError.PlatformError, R> =>
    Effect.suspend(() => {
      const now = count++
      if (now === at) return fault === "kill" ? Effect.andThen(torn, cut) : cut
      return fault === "kill" && now > at ? cut : operation
    })
  // Nothing is lost by a kill at a read that is not lost by one at the next change.
  const names: ReadonlyArray<string> = fault === "kill" ? changing : [...changing, ...reading]
  const operations = Object.fromEntries(names.map((name) => [
    name,
    (...args: ReadonlyArray<never>) => guarded((real as never as Record<string, typeof cutting>)[name]!(...args))
  ]))
  const fileSystem = FileSystem.FileSystem.of({
    ...real,
    ...operations,
    open: (path, options) =>
      guarded(real.open(path, options)).pipe(
        Effect.map((file): FileSystem.File =>
          new Proxy(file, {
            get: (target, name) =>
              name === "sync"
                ? guarded(target.sync)
                : name === "writeAll"
                ? (bytes: Uint8Array) =>
                  guarded(target.writeAll(bytes), target.writeAll(bytes.subarray(0, bytes.length >> 1)))
                : Reflect.get(target, name)
          })
        )
      )
  })
  return { fileSystem, reached: () => count > at }
}

declare const cutting: (...args: ReadonlyArray<never>) => Effect.Effect<unknown, PlatformError.PlatformError>
