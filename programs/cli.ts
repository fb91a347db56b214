#!/usr/bin/env node
/**
 * Entry point of the command line; an interruption while the program is still loading ends it as at any later time.
 */
import { existsSync, readFileSync } from "node:fs"
import { enableCompileCache } from "node:module"
import { fileURLToPath } from "node:url"

const interrupted = (): never => process.exit(130)

const start = async (): Promise<void> => {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, interrupted)
  // Half of the start is compilation; the cache lies in the system's folder of temporary files.
  enableCompileCache()
  try {
    await import("./Main.ts")
  } catch (cause) {
    const { explain, MissingPackage } = await import("../src/run/Packages.ts")
    const error = explain(cause)
    if (!(error instanceof MissingPackage)) throw cause
    process.stderr.write(`error: ${error.message}\n`)
    process.exit(1)
  }
  for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, interrupted)
}

// The published package has its help as a file, which the build wrote with this program: it prints without any library.
const help = fileURLToPath(new URL("help.txt", import.meta.url))
const asked = process.argv.slice(2)
if (asked.length === 1 && asked[0] === "--help" && !process.stdout.isTTY && existsSync(help)) {
  process.stdout.write(readFileSync(help))
} else await start()
