/**
 * Gini coefficient of inequality.
 */

/**
 * Returns the Gini coefficient of non-negative counts: 0 for equal counts, near 1 for a single non-zero count among
 * many.
 */
export const of = (counts: ArrayLike<number>): number => {
  const sorted = Float64Array.from(counts).toSorted()
  let weighted = 0
  let total = 0
  for (const [i, count] of sorted.entries()) {
    weighted += (i + 1) * count
    total += count
  }
  return total === 0 ? 0 : 2 * weighted / (sorted.length * total) - (sorted.length + 1) / sorted.length
}
