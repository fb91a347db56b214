/**
 * How much memory the process may still take, asked before a large block is allocated.
 */
import * as Context from "effect/Context"
import { freemem, totalmem } from "node:os"
import { OutOfMemory, TensorError } from "./TensorError.ts"

/** Returns the bytes that are left: of the machine, or of the container that the process runs in. */
export const measure = (): number => {
  // Only Linux counts what it would give back on demand as free.
  const machine = process.platform === "linux" ? freemem() : totalmem() - process.memoryUsage.rss()
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(machine, limit - process.memoryUsage.rss()) : machine
}

/** Measures the bytes that are left. */
export const Available: Context.Reference<() => number> = Context.Reference("sidereal/tensor/HostMemory", {
  defaultValue: () => measure
})

/** Returns the error of taking `wanted` bytes, or undefined where they are left. */
export const check = (purpose: string, wanted: number, available: () => number): TensorError | undefined => {
  // To measure takes longer than to allocate a little.
  if (wanted < 2 ** 20) return undefined
  const left = Math.max(0, available())
  return wanted <= left
    ? undefined
    : new TensorError({ reason: new OutOfMemory({ purpose, wanted, available: left, limit: "machine" }) })
}
