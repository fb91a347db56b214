/**
 * Spaces of the SIDs that may be generated: immutable views of a trie.
 *
 * A stored trie is one, a `LiveTrie` has one for every state, and a filter derives one from another. A request uses one
 * space from beginning to end, so later insertions and withdrawals do not affect it. The cost of a filter is
 * proportional to the number of items left out, independent of the size of the catalogue.
 */
import * as Trie from "./Trie.ts"

/**
 * A space of nodes. The root is node 0, and every node has a smaller number than its children, which are in ascending
 * order of their codes.
 */
export interface LeafSpace {
  /** Number of edits that led to this state of the catalogue. */
  readonly version: number
  /** Largest number of children of a node. */
  readonly width: number
  /** Largest number of codes of a SID. */
  readonly depth: number
  /** Upper bound of the node numbers, exclusive. */
  readonly nodes: number
  /** The same state without filters: a policy's softmax runs over its children. */
  readonly whole: LeafSpace
  /** Writes the child nodes that are or lead to an allowed leaf; returns how many there are. */
  children(node: number, into: Int32Array): number
  childCount(node: number): number
  /** Returns the parent of a node, -1 for the root. */
  parent(node: number): number
  /** Returns the code that leads to a node other than the root. */
  code(node: number): number
  /** Returns the level of a node: the number of codes that lead to it. */
  level(node: number): number
  /** Returns whether the SID of an allowed item ends at a node. */
  ends(node: number): boolean
  /** Returns the allowed items whose SIDs end at a node, ascending. */
  items(node: number): Int32Array
  /** Returns the node at which an item's SID ends, -1 for an item that is not allowed. */
  leaf(item: number): number
}

/** Makes a space from a stored trie, with every item allowed. */
export const ofTrie = (trie: Trie.Trie): LeafSpace => {
  let leaves: Int32Array | undefined
  const space: LeafSpace = {
    version: 0,
    width: trie.widest,
    depth: trie.depth,
    nodes: trie.nodes,
    get whole() {
      return space
    },
    children: (node, into) => {
      const first = Trie.firstChild(trie, node)
      const count = Trie.childCount(trie, node)
      for (let i = 0; i < count; i++) into[i] = first + i
      return count
    },
    childCount: (node) => Trie.childCount(trie, node),
    parent: (node) => Trie.parent(trie, node),
    code: (node) => Trie.code(trie, node),
    level: (node) => Trie.level(trie, node),
    ends: (node) => Trie.itemCount(trie, node) > 0,
    items: (node) => Trie.items(trie, node),
    leaf: (item) => {
      leaves ??= Trie.leaves(trie)
      return leaves[item] ?? -1
    }
  }
  return space
}

/** Makes a space from some nodes of another; a policy's softmax still runs over the whole space. */
const filtered = (
  space: LeafSpace,
  own: Pick<LeafSpace, "children" | "childCount" | "ends" | "items" | "leaf">
): LeafSpace => ({
  version: space.version,
  width: space.width,
  depth: space.depth,
  nodes: space.nodes,
  whole: space.whole,
  parent: (node) => space.parent(node),
  code: (node) => space.code(node),
  level: (node) => space.level(node),
  ...own
})

/**
 * Returns a space without some items; items outside the space are ignored.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as LeafSpace from "sidereal/sid/trie/LeafSpace"
 * import * as Trie from "sidereal/sid/trie/Trie"
 *
 * const space = LeafSpace.ofTrie(Trie.build([[0, 1], [0, 2], [3, 1]]))
 * const left = LeafSpace.without(space, [0, 1])
 * assert.equal(space.childCount(0), 2)
 * assert.equal(left.childCount(0), 1)
 * assert.deepEqual(Array.from(LeafSpace.childNodes(left, 0), (node) => left.code(node)), [3])
 * ```
 */
export const without = (space: LeafSpace, items: Iterable<number>): LeafSpace => {
  const missing = new Set<number>()
  /** Allowed items of the leaves with excluded items. */
  const left = new Map<number, Int32Array>()
  for (const item of items) {
    const leaf = space.leaf(item)
    if (leaf < 0 || missing.has(item)) continue
    missing.add(item)
    left.set(leaf, space.items(leaf))
  }
  if (missing.size === 0) return space
  for (const [leaf, all] of left) left.set(leaf, all.filter((item) => !missing.has(item)))
  const ends = (node: number) => {
    const some = left.get(node)
    return some === undefined ? space.ends(node) : some.length > 0
  }
  const closed = new Set<number>()
  /** Number of allowed children of the nodes with excluded children. */
  const open = new Map<number, number>()
  const childCount = (node: number) => open.get(node) ?? space.childCount(node)
  for (const leaf of left.keys()) {
    for (let node = leaf; node > 0 && !closed.has(node) && !ends(node) && childCount(node) === 0;) {
      closed.add(node)
      const parent = space.parent(node)
      open.set(parent, childCount(parent) - 1)
      node = parent
    }
  }
  return filtered(space, {
    children: (node, into) => {
      const all = space.children(node, into)
      if (!open.has(node)) return all
      let count = 0
      for (let i = 0; i < all; i++) if (!closed.has(into[i]!)) into[count++] = into[i]!
      return count
    },
    childCount,
    ends,
    items: (node) => left.get(node) ?? space.items(node),
    leaf: (item) => missing.has(item) ? -1 : space.leaf(item)
  })
}

/** Returns a space with only the items for which `keep` returns true, called once per item. */
export const only = (space: LeafSpace, keep: (item: number) => boolean): LeafSpace => {
  const buffer = new Int32Array(space.width)
  const alive = new Uint8Array(space.nodes)
  const kept = new Map<number, Int32Array>()
  for (let node = space.nodes - 1; node >= 0; node--) {
    const items = space.ends(node) ? space.items(node).filter(keep) : nothing
    if (items.length > 0) kept.set(node, items)
    const count = space.children(node, buffer)
    if (items.length > 0 || buffer.subarray(0, count).some((child) => alive[child] === 1)) alive[node] = 1
  }
  const children = (node: number, into: Int32Array) => {
    const all = space.children(node, into)
    let count = 0
    for (let i = 0; i < all; i++) if (alive[into[i]!] === 1) into[count++] = into[i]!
    return count
  }
  return filtered(space, {
    children,
    childCount: (node) => children(node, buffer),
    ends: (node) => kept.has(node),
    items: (node) => kept.get(node) ?? nothing,
    leaf: (item) => {
      const leaf = space.leaf(item)
      return leaf >= 0 && kept.get(leaf)?.includes(item) === true ? leaf : -1
    }
  })
}

/** Keeps what begins with the prefix of a node, which must lead to an allowed leaf. */
export const below = (space: LeafSpace, node: number): LeafSpace => {
  if (node === 0) return space
  /** The only child of each node before `node`. */
  const next = new Map(path(space, node).map((child) => [space.parent(child), child]))
  const holds = (leaf: number) => {
    let at = leaf
    while (at > node) at = space.parent(at)
    return at === node
  }
  const ends = (at: number) => holds(at) && space.ends(at)
  return filtered(space, {
    children: (at, into) => {
      const child = next.get(at)
      if (child === undefined) return space.children(at, into)
      into[0] = child
      return 1
    },
    childCount: (at) => next.has(at) ? 1 : space.childCount(at),
    ends,
    items: (at) => ends(at) ? space.items(at) : nothing,
    leaf: (item) => {
      const leaf = space.leaf(item)
      return leaf >= 0 && holds(leaf) ? leaf : -1
    }
  })
}

const nothing = new Int32Array(0)

/** Returns the child nodes of a node, ascending by code. */
export const childNodes = (space: LeafSpace, node: number): Int32Array => {
  const into = new Int32Array(space.width)
  return into.subarray(0, space.children(node, into))
}

/** Returns the node of a prefix, -1 when no allowed SID begins with it. */
export const find = (space: LeafSpace, codes: ArrayLike<number>): number => {
  let node = 0
  for (let level = 0; level < codes.length && node >= 0; level++) {
    node = childNodes(space, node).find((child) => space.code(child) === codes[level]) ?? -1
  }
  return node
}

/** Returns the nodes from the first code to a leaf, without the root. */
export const path = (space: LeafSpace, leaf: number): ReadonlyArray<number> => {
  const nodes: Array<number> = []
  for (let node = leaf; node > 0; node = space.parent(node)) nodes.push(node)
  return nodes.toReversed()
}
