#!/usr/bin/env node
/**
 * Entry point of the command line; an interruption while the program is still loading ends it as at any later time.
 */
import { enableCompileCache } from "node:module"

const interrupted = (): never => process.exit(130)
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
