/**
 * Which SIDs are taken, and how many items stand below every prefix: what a policy needs to find free leaves.
 */

/** The counts; they change as items move. */
export interface Leaves {
  /** Whether no item has these codes. */
  isFree(codes: Int32Array): boolean
  /** Whether some leaf below the first `length` codes is free. */
  hasRoom(codes: Int32Array, length: number): boolean
  add(codes: Int32Array): void
  remove(codes: Int32Array): void
}

/** Counts of the given SIDs, all of L codes. */
export const make = (sids: Iterable<Int32Array>, codebookSizes: ReadonlyArray<number>): Leaves => {
  const levels = codebookSizes.length
  const counts = Array.from({ length: levels + 1 }, () => new Map<string, number>())
  // An item that shares its leaf takes no room, so prefixes count taken leaves and not items.
  const capacity = Array.from(
    { length: levels + 1 },
    (_, length) => codebookSizes.slice(length).reduce((product, size) => product * size, 1)
  )
  const key = (codes: Int32Array, length: number) => codes.subarray(0, length).join(",")
  const at = (codes: Int32Array, length: number) => counts[length]!.get(key(codes, length)) ?? 0
  const change = (codes: Int32Array, length: number, by: number) =>
    counts[length]!.set(key(codes, length), at(codes, length) + by)
  const leaves: Leaves = {
    isFree: (codes) => at(codes, levels) === 0,
    hasRoom: (codes, length) => at(codes, length) < capacity[length]!,
    add: (codes) => {
      change(codes, levels, 1)
      if (at(codes, levels) === 1) { for (let length = 0; length < levels; length++) change(codes, length, 1) }
    },
    remove: (codes) => {
      change(codes, levels, -1)
      if (at(codes, levels) === 0) { for (let length = 0; length < levels; length++) change(codes, length, -1) }
    }
  }
  for (const codes of sids) leaves.add(codes)
  return leaves
}
