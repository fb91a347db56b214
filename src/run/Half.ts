/**
 * Numbers of 16 bits as float32.
 */

/** The number of an IEEE half-precision pattern. */
export const ofFloat16 = (bits: number): number => {
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Numbers of bfloat16 patterns: the upper halves of float32. */
export const ofBfloat16 = (patterns: Uint16Array): Float32Array =>
  new Float32Array(Uint32Array.from(patterns, (bits) => bits << 16).buffer)
