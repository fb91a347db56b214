/**
 * Conversion between 16-bit floating-point numbers and float32.
 */

const one = (bits: number): number => {
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

let every: Float32Array | undefined

/** Returns the float32 of every IEEE half-precision bit pattern, made at the first call. */
const table = (): Float32Array => {
  every ??= Float32Array.from({ length: 65_536 }, (_, bits) => one(bits))
  return every
}

const wordsOf = (numbers: Float32Array): Uint32Array =>
  new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length)

/** Writes the float32 of IEEE half-precision bit patterns into `into`, of the same length. */
export const readFloat16 = (patterns: Uint16Array, into: Float32Array): void => {
  const known = table()
  for (let i = 0; i < patterns.length; i++) into[i] = known[patterns[i]!]!
}

/** Writes the float32 of bfloat16 bit patterns, the upper halves of float32, into `into`, of the same length. */
export const readBfloat16 = (patterns: Uint16Array, into: Float32Array): void => {
  const words = wordsOf(into)
  for (let i = 0; i < patterns.length; i++) words[i] = patterns[i]! << 16
}

/** Converts IEEE half-precision bit patterns to float32. */
export const ofFloat16 = (patterns: Uint16Array): Float32Array => {
  const numbers = new Float32Array(patterns.length)
  readFloat16(patterns, numbers)
  return numbers
}

/** Converts bfloat16 bit patterns, the upper halves of float32, to float32. */
export const ofBfloat16 = (patterns: Uint16Array): Float32Array => {
  const numbers = new Float32Array(patterns.length)
  readBfloat16(patterns, numbers)
  return numbers
}

/**
 * Writes the bfloat16 bit patterns of numbers into `into`, of the same length; ties go to the even one, as in PyTorch.
 * Numbers that came from bfloat16 keep their patterns.
 */
export const writeBfloat16 = (numbers: Float32Array, into: Uint16Array): void => {
  const words = wordsOf(numbers)
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    // A quiet bit keeps a NaN whose payload is in the lower half from becoming infinite.
    into[i] = (word & 0x7fff_ffff) > 0x7f80_0000
      ? (word >>> 16) | ((word & 0x007f_0000) === 0 ? 0x40 : 0)
      : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
}

/**
 * Writes the IEEE half-precision bit patterns of numbers into `into`, of the same length; ties go to the even one.
 * Numbers from 65,520 on become infinite.
 */
export const writeFloat16 = (numbers: Float32Array, into: Uint16Array): void => {
  const words = wordsOf(numbers)
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    const sign = (word >>> 16) & 0x8000
    const size = word & 0x7fff_ffff
    if (size > 0x7f80_0000) into[i] = sign | 0x7e00
    else if (size >= 0x477f_f000) into[i] = sign | 0x7c00
    else if (size < 0x3880_0000) {
      // Below the smallest normal number: a multiple of 2^-24, of which the scaled number is rounded to the nearest.
      const scaled = Math.abs(numbers[i]!) * 2 ** 24
      const floor = Math.floor(scaled)
      const rest = scaled - floor
      into[i] = sign | (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor)
    } else {
      const rounded = size + 0xfff + ((size >>> 13) & 1)
      into[i] = sign | ((rounded - 0x3800_0000) >>> 13)
    }
  }
}
