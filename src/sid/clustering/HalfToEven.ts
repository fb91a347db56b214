/**
 * Rounding as NumPy and PyTorch do it.
 */

/** Rounds to the nearest integer; ties go to the even one, as in NumPy and PyTorch. */
export const round = (value: number): number => {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}
