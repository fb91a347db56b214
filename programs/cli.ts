#!/usr/bin/env node
/**
 * The entry point. Loading the program takes a moment, in which an interruption already ends as it does later.
 */
const interrupted = (): never => process.exit(130)
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, interrupted)
await import("./Main.ts")
for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, interrupted)
