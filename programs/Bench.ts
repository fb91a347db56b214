/**
 * Benchmarks in a process of their own, so that the command line does not influence the timings.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { extname } from "node:path"
import { fileURLToPath } from "node:url"

/** Failure of benchmarks that have printed the cause themselves. */
export class BenchError extends Schema.TaggedError<BenchError>()("BenchError", { status: Schema.Int }) {
  override get message() {
    return `the benchmarks ended with status ${this.status}`
  }
}

/** The program beside this file: `.ts` in the sources, `.js` where they are compiled. */
const main = fileURLToPath(new URL(`../bench/main${extname(import.meta.filename)}`, import.meta.url))

/** Runs `bench/main` with these arguments; returns its exit status. */
export const program = (args: ReadonlyArray<string>): Effect.Effect<number> =>
  Effect.callback<number>((resume) => {
    const child = spawn(process.execPath, [main, ...args], {
      stdio: "inherit"
    })
    child.on("error", () => resume(Effect.succeed(1)))
    child.on("exit", (status) => resume(Effect.succeed(status ?? 1)))
    return Effect.sync(() => void child.kill())
  })
