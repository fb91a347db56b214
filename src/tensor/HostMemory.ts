/**
 * Memory available to the process, checked before a large block is allocated.
 */
import * as Context from "effect/Context"
import { freemem, totalmem } from "node:os"
import { OutOfMemory, TensorError } from "./TensorError.ts"

/** Returns the available bytes of the machine, or of the process's container where that is less. */
export const measure = (): number => {
  // Only on Linux does the free memory include reclaimable caches.
  const machine = process.platform === "linux" ? freemem() : totalmem() - process.memoryUsage.rss()
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(machine, limit - process.memoryUsage.rss()) : machine
}

/** Function that measures the available bytes. @default measure */
export const Available: Context.Reference<() => number> = Context.Reference("sidereal/tensor/HostMemory", {
  defaultValue: () => measure
})

/** Returns an `OutOfMemory` error when `wanted` bytes are not available, else undefined. */
export const check = (purpose: string, wanted: number, available: () => number): TensorError | undefined => {
  // Measuring takes longer than allocating a small block.
  if (wanted < 2 ** 20) return undefined
  const left = Math.max(0, available())
  return wanted <= left
    ? undefined
    : new TensorError({ reason: new OutOfMemory({ purpose, wanted, available: left, limit: "machine" }) })
}
