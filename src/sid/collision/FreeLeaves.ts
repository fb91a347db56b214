/**
 * Counts of the items below every prefix, by which a collision policy finds free leaves.
 */

/** Mutable counts of taken leaves. */
export interface Leaves {
  /** Whether some leaf below the first `length` codes is free; of all L codes, whether no item has them. */
  hasRoom(codes: Int32Array, length: number): boolean
  /** The same for the first `length` codes and one more, to be asked of many. */
  roomBelow(codes: Int32Array, length: number): (code: number) => boolean
  /** Reserves one free leaf below the prefix; with all L codes, that leaf itself. */
  take(codes: Int32Array, length: number): void
  add(codes: Int32Array): void
  remove(codes: Int32Array): void
}

/** Counts the leaves that the given SIDs take; every SID has L codes. */
export const make = (sids: Iterable<Int32Array>, codebookSizes: ReadonlyArray<number>): Leaves => {
  const levels = codebookSizes.length
  const capacity = Array.from(
    { length: levels + 1 },
    (_, length) => codebookSizes.slice(length).reduce((product, size) => product * size, 1)
  )
  // Prefixes are numbered as they are met, 0 being the empty one; a child is found by its parent's number and its code.
  const children = codebookSizes.map(() => new Map<number, number>())
  // An item that shares its leaf takes no room, so prefixes count taken leaves and leaves count items.
  const counts = [0]
  const find = (codes: Int32Array, length: number): number | undefined => {
    let node: number | undefined = 0
    for (let level = 0; level < length && node !== undefined; level++) {
      node = children[level]!.get(node * codebookSizes[level]! + codes[level]!)
    }
    return node
  }
  const path = new Int32Array(levels + 1)
  const follow = (codes: Int32Array, length: number): number => {
    for (let level = 0; level < length; level++) {
      const key = path[level]! * codebookSizes[level]! + codes[level]!
      let node = children[level]!.get(key)
      if (node === undefined) {
        node = counts.push(0) - 1
        children[level]!.set(key, node)
      }
      path[level + 1] = node
    }
    return path[length]!
  }
  // For prefixes that were asked about: a bit for every child without room. A policy asks for K of them at a time.
  const full = new Map<number, Uint32Array>()
  const mark = (codes: Int32Array, length: number): void => {
    const bits = full.get(path[length - 1]!)
    if (bits === undefined) return
    const code = codes[length - 1]!
    if (counts[path[length]!]! < capacity[length]!) bits[code >> 5]! &= ~(1 << (code & 31))
    else bits[code >> 5]! |= 1 << (code & 31)
  }
  const bitsOf = (node: number, length: number): Uint32Array => {
    const known = full.get(node)
    if (known !== undefined) return known
    const size = codebookSizes[length]!
    const bits = new Uint32Array(Math.ceil(size / 32))
    for (let code = 0; code < size; code++) {
      const child = children[length]!.get(node * size + code)
      if (child !== undefined && counts[child]! >= capacity[length + 1]!) bits[code >> 5]! |= 1 << (code & 31)
    }
    full.set(node, bits)
    return bits
  }
  const change = (codes: Int32Array, by: 1 | -1): void => {
    follow(codes, levels)
    const items = counts[path[levels]!]! += by
    if (items !== (by === 1 ? 1 : 0)) return
    mark(codes, levels)
    counts[0]! += by
    for (let length = 1; length < levels; length++) {
      counts[path[length]!]! += by
      mark(codes, length)
    }
  }
  for (const codes of sids) change(codes, 1)
  return {
    hasRoom: (codes, length) => {
      const node = find(codes, length)
      return node === undefined || counts[node]! < capacity[length]!
    },
    roomBelow: (codes, length) => {
      const node = find(codes, length)
      if (node === undefined) return () => true
      const bits = bitsOf(node, length)
      return (code) => (bits[code >> 5]! & (1 << (code & 31))) === 0
    },
    take: (codes, length) => {
      counts[follow(codes, length)]!++
      mark(codes, length)
    },
    add: (codes) => change(codes, 1),
    remove: (codes) => change(codes, -1)
  }
}
