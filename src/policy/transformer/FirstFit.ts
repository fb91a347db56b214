/**
 * Packing of sequences into rows of equal length, by first fit over a window of open rows.
 */

/** Largest number of rows that are open at once. */
const mostOpen = 48

/** Positions that may stay empty in a row that is no longer open. */
const rest = 4

/**
 * Assigns sequences of the given sizes, in their order, to rows of `length` positions; returns the sequences of each row.
 * A sequence without positions is left out; none may be longer than a row.
 */
export const rows = (sizes: ReadonlyArray<number>, length: number): ReadonlyArray<ReadonlyArray<number>> => {
  const all: Array<{ readonly members: Array<number>; used: number }> = []
  let open: typeof all = []
  for (const [which, size] of sizes.entries()) {
    if (size === 0) continue
    let row = open.find(({ used }) => used + size <= length)
    if (row === undefined) {
      row = { members: [], used: 0 }
      all.push(row)
      open.push(row)
      if (open.length > mostOpen) open = open.slice(1)
    }
    row.members.push(which)
    row.used += size
    if (row.used > length - rest) open = open.filter((candidate) => candidate !== row)
  }
  return all.map(({ members }) => members)
}
