/**
 * The linear assignment problem: one column per row, no column twice, at the least total cost.
 *
 * Shortest augmenting paths with potentials (Jonker and Volgenant 1987), exact in float64, O(R^2 C).
 */

/** Returns the column of each row at the least total of costs [rows, columns], row-major; `columns >= rows`. */
export const solve = (costs: ArrayLike<number>, rows: number, columns: number): Int32Array => {
  // Row and column 0 stand for "none", as in the textbook form.
  const rowPotential = new Float64Array(rows + 1)
  const columnPotential = new Float64Array(columns + 1)
  const rowOf = new Int32Array(columns + 1)
  const before = new Int32Array(columns + 1)
  const least = new Float64Array(columns + 1)
  const visited = new Uint8Array(columns + 1)
  for (let row = 1; row <= rows; row++) {
    rowOf[0] = row
    least.fill(Infinity)
    visited.fill(0)
    let column = 0
    do {
      visited[column] = 1
      const current = rowOf[column]!
      let [delta, next] = [Infinity, 0]
      for (let c = 1; c <= columns; c++) {
        if (visited[c] === 1) continue
        const reduced = costs[(current - 1) * columns + c - 1]! - rowPotential[current]! - columnPotential[c]!
        if (reduced < least[c]!) {
          least[c] = reduced
          before[c] = column
        }
        if (least[c]! < delta) {
          delta = least[c]!
          next = c
        }
      }
      for (let c = 0; c <= columns; c++) {
        if (visited[c] === 1) {
          const at = rowOf[c]!
          rowPotential[at] = rowPotential[at]! + delta
          columnPotential[c] = columnPotential[c]! - delta
        } else least[c] = least[c]! - delta
      }
      column = next
    } while (rowOf[column] !== 0)
    while (column !== 0) {
      const previous = before[column]!
      rowOf[column] = rowOf[previous]!
      column = previous
    }
  }
  const out = new Int32Array(rows)
  for (let c = 1; c <= columns; c++) if (rowOf[c]! > 0) out[rowOf[c]! - 1] = c - 1
  return out
}
