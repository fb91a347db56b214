/**
 * Codes as faiss stores them: a stream of bits per row, little-endian, level 0 in the lowest bits of the first byte.
 */
import type * as Codes from "../Codes.ts"

/** Packs codes to bytes [N, ceil(L bits / 8)]. */
export const pack = ({ codes, levels }: Codes.Codes, bits: number): Uint8Array => {
  const rows = codes.length / levels
  const width = Math.ceil(levels * bits / 8)
  const out = new Uint8Array(rows * width)
  for (let r = 0; r < rows; r++) {
    for (let bit = 0; bit < levels * bits; bit++) {
      const value = (codes[r * levels + Math.floor(bit / bits)]! >> (bit % bits)) & 1
      out[r * width + (bit >> 3)]! |= value << (bit & 7)
    }
  }
  return out
}

/** Unpacks codes [N, L] from bytes. */
export const unpack = (bytes: Uint8Array, levels: number, bits: number): Codes.Codes => {
  const width = Math.ceil(levels * bits / 8)
  const rows = bytes.length / width
  const codes = new Int32Array(rows * levels)
  for (let r = 0; r < rows; r++) {
    for (let bit = 0; bit < levels * bits; bit++) {
      const value = (bytes[r * width + (bit >> 3)]! >> (bit & 7)) & 1
      codes[r * levels + Math.floor(bit / bits)]! |= value << (bit % bits)
    }
  }
  return { levels, codes }
}
