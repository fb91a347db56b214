#!/usr/bin/env node
/**
 * Entry point of the command line; an interruption while the program is still loading ends it as at any later time.
 */
const interrupted = (): never => process.exit(130)
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, interrupted)
await import("./Main.ts")
for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, interrupted)
