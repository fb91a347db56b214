/**
 * Branches of a space of SIDs: its nodes, of which those with the same items below them count as one.
 *
 * In a trie of 16 levels most nodes lead to a single item; sums over branches cost the number of choices instead of the
 * number of codes.
 */
import { type LeafSpace } from "./LeafSpace.ts"

/** Branches of the allowed items of a space. */
export interface Branches {
  /** Branch of each node, [nodes]; -1 for a node that leads to no allowed item. */
  readonly of: Int32Array
  /** Parent of each branch, which has a smaller number, [branches]; -1 for the root's. */
  readonly parents: Int32Array
  /** Allowed items, and the branch at whose last node each one's SID ends. */
  readonly items: Int32Array
  readonly ends: Int32Array
}

const known = new WeakMap<LeafSpace, Branches>()

/** Returns the branches of a space, found once per space. */
export const ofSpace = (space: LeafSpace): Branches => {
  const found = known.get(space)
  if (found !== undefined) return found
  const of = new Int32Array(space.nodes).fill(-1)
  const [parents, items, ends]: [Array<number>, Array<number>, Array<number>] = [[-1], [], []]
  const queue = [0]
  of[0] = 0
  const children = new Int32Array(space.width)
  for (const node of queue) {
    const branch = of[node]!
    const count = space.children(node, children)
    const single = count === 1 && !space.ends(node)
    for (const child of children.subarray(0, count)) {
      of[child] = single ? branch : parents.push(branch) - 1
      queue.push(child)
    }
    if (!space.ends(node)) continue
    for (const item of space.items(node)) {
      items.push(item)
      ends.push(branch)
    }
  }
  const branches: Branches = {
    of,
    parents: Int32Array.from(parents),
    items: Int32Array.from(items),
    ends: Int32Array.from(ends)
  }
  known.set(space, branches)
  return branches
}

/** Sums of the masses of items over a space. */
export interface Sums {
  /** Sum of the masses of the items below each branch, [branches]. */
  readonly below: Float64Array
  /** Sum of the masses of the items that end at the last node of each branch, [branches]. */
  readonly at: Float64Array
}

/** Sums masses over the branches; `mass` returns that of an allowed item. */
export const sum = ({ ends, items, parents }: Branches, mass: (item: number) => number): Sums => {
  const at = new Float64Array(parents.length)
  for (let i = 0; i < items.length; i++) at[ends[i]!] = at[ends[i]!]! + mass(items[i]!)
  const below = at.slice()
  for (let branch = parents.length - 1; branch > 0; branch--) {
    below[parents[branch]!] = below[parents[branch]!]! + below[branch]!
  }
  return { below, at }
}
