/**
 * Content-free baseline codes (random, hashed, by popularity) that any useful tokenizer must beat.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { type Progress } from "../../run/Progress.ts"
import * as Random from "../../statistics/Random.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import * as Quantizer from "../Quantizer.ts"

type CodesOf = (items: Quantizer.Items, levels: number, size: number) => Int32Array

/** Hashes a text to 32 bits (FNV-1a, finished by murmur3). */
const hashOf = (text: string, seed: number): number => {
  let hash = (0x811c_9dc5 ^ seed) >>> 0
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x0100_0193) >>> 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

const controls: Readonly<Record<"random" | "hash" | "popularity", (seed: number) => CodesOf>> = {
  random: (seed) => ({ keys }, levels, size) => {
    const next = Random.uniform(seed, 0xc0de)
    return Int32Array.from({ length: keys.length * levels }, () => Math.floor(next() * size))
  },
  hash: (seed) => ({ keys }, levels, size) =>
    Int32Array.from(
      { length: keys.length * levels },
      (_, i) => hashOf(keys[Math.floor(i / levels)]!, seed * 31 + (i % levels)) % size
    ),
  popularity: () => ({ keys, popularity }, levels, size) => {
    const order = Array.from(keys.keys()).toSorted((a, b) => popularity[b]! - popularity[a]! || a - b)
    const codes = new Int32Array(keys.length * levels)
    // The rank in base K, so that neighbours in popularity share their first codes.
    const base = Math.min(size, Math.max(2, Math.ceil(keys.length ** (1 / levels))))
    for (const [rank, item] of order.entries()) {
      let left = rank
      for (let level = levels - 1; level >= 0; level--) {
        codes[item * levels + level] = left % base
        left = Math.floor(left / base)
      }
    }
    return codes
  }
}

/** Name of a control. */
export type Control = keyof typeof controls

/** Provides a control; it decodes by the codebooks that fit its codes best. */
export const layer = (
  control: Control,
  shape: Quantizer.SidShape,
  seed: number
): Layer.Layer<Quantizer.Quantizer, never, TensorRuntime | Progress> => {
  const codesOf = controls[control](seed)
  return ResidualCodebooks.layer({
    name: control,
    settings: [shape, seed],
    train: (items) =>
      Effect.sync(() => {
        const size = Quantizer.wantedCodes(shape, items.keys.length)
        const codes = { levels: shape.levels, codes: codesOf(items, shape.levels, size) }
        const sizes = Array.from({ length: shape.levels }, () => size)
        return { codes, codebooks: ResidualCodebooks.ofCodes(items.embeddings, codes, sizes) }
      })
  })
}
