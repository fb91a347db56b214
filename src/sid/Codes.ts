/**
 * Codes of many items in one array.
 */

/** Codes [N, L] of N rows, row-major; a SID that ends before level l has -1 there. */
export interface Codes {
  readonly levels: number
  readonly codes: Int32Array
}

/** Returns a view of each row's codes, without the -1 at its end. */
export const rowsOf = ({ codes, levels }: Codes): ReadonlyArray<Int32Array> =>
  Array.from({ length: codes.length / levels }, (_, row) => {
    const sid = codes.subarray(row * levels, (row + 1) * levels)
    const end = sid.indexOf(-1)
    return end < 0 ? sid : sid.subarray(0, end)
  })

/** Builds codes [N, L] from one column per level. */
export const fromColumns = (columns: ReadonlyArray<ArrayLike<number>>): Codes => {
  const levels = columns.length
  const codes = new Int32Array(columns[0]!.length * levels)
  for (const [level, column] of columns.entries()) {
    for (let row = 0; row < column.length; row++) codes[row * levels + level] = column[row]!
  }
  return { levels, codes }
}
