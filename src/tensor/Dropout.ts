/**
 * Dropout masks as a function of (seed, step, site) alone, independent of call order and backend.
 *
 * Masks are drawn on the host by a SIMD kernel and fed to the program as inputs, so a run is repeatable on every
 * backend and resumable at any step.
 */
import * as Random from "../statistics/Random.ts"
import * as TrainingKernels from "./TrainingKernels.ts"

/** Generator of dropout masks, into memory that is reused by every step. */
export interface Dropout {
  /** Draws one mask of `size` values per site, each 0 or `1 / (1 - rate)`; valid until the next call. */
  draw(seed: number, step: number, size: number, rate: number): ReadonlyArray<Float32Array>
}

/** Makes a generator for models with `sites` dropout sites. */
export const make = (sites: number): Dropout => {
  let capacity = 0
  let memory = TrainingKernels.memory(0)
  let kernels = TrainingKernels.over(memory)
  return {
    draw: (seed, step, size, rate) => {
      const padded = Math.ceil(size / 4) * 4
      if (padded > capacity) {
        capacity = padded
        memory = TrainingKernels.memory(sites * capacity * 4)
        kernels = TrainingKernels.over(memory)
      }
      const threshold = Math.min(0xffff_ffff, Math.round((1 - rate) * 2 ** 32))
      return Array.from({ length: sites }, (_, site) => {
        kernels.dropout(site * capacity * 4, padded, Random.key(seed, step, site), threshold | 0, 1 / (1 - rate))
        return new Float32Array(memory.buffer, site * capacity * 4, size)
      })
    }
  }
}
