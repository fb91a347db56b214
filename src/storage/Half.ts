/**
 * Conversion of 16-bit floating-point numbers to float32.
 */

const one = (bits: number): number => {
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Converts IEEE half-precision bit patterns to float32. */
export const ofFloat16 = (patterns: Uint16Array): Float32Array => {
  const numbers = new Float32Array(patterns.length)
  for (let i = 0; i < patterns.length; i++) numbers[i] = one(patterns[i]!)
  return numbers
}

/** Converts bfloat16 bit patterns, the upper halves of float32, to float32. */
export const ofBfloat16 = (patterns: Uint16Array): Float32Array => {
  const words = new Uint32Array(patterns.length)
  for (let i = 0; i < patterns.length; i++) words[i] = patterns[i]! << 16
  return new Float32Array(words.buffer)
}
