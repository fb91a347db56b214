/**
 * Rounding as numpy and torch do it.
 */

/** The nearest integer; of two equally near ones the even one. */
export const round = (value: number): number => {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}
