/**
 * The trie of all SIDs, as arrays of integers in compressed sparse rows.
 *
 * Nodes are numbered breadth first and the root is 0, so the children of a node are neighbours in ascending order of
 * their codes, and the child that edge e reaches is node e + 1. SIDs may differ in length and one may begin another.
 */

/** The arrays. */
export interface Trie {
  /** Length of the longest SID, L. */
  readonly depth: number
  readonly nodes: number
  /** [nodes + 1]: the edges of node n are `childStart[n] .. childStart[n + 1] - 1`. */
  readonly childStart: Int32Array
  /** [nodes - 1]: the code of each edge. */
  readonly edgeCode: Int32Array
  /** [nodes]: -1 for the root. */
  readonly parent: Int32Array
  /** [nodes]: number of codes before the node. */
  readonly level: Uint8Array
  /** [nodes + 1]: the items whose SID ends at node n are `itemsAt[itemStart[n] .. itemStart[n + 1] - 1]`, ascending. */
  readonly itemStart: Int32Array
  readonly itemsAt: Int32Array
}

/** Builds the trie of `sids[item]`. */
export const build = (sids: ReadonlyArray<ArrayLike<number>>): Trie => {
  const compare = (a: number, b: number) => {
    const [x, y] = [sids[a]!, sids[b]!]
    const length = Math.min(x.length, y.length)
    for (let l = 0; l < length; l++) if (x[l] !== y[l]) return x[l]! - y[l]!
    return x.length - y.length || a - b
  }
  const order = Int32Array.from({ length: sids.length }, (_, item) => item).toSorted(compare)
  const childStart: Array<number> = []
  const edgeCode: Array<number> = []
  const parent: Array<number> = [-1]
  const level: Array<number> = [0]
  const itemStart: Array<number> = []
  const itemsAt: Array<number> = []
  const ranges: Array<number> = [0, order.length]
  for (let node = 0; node * 2 < ranges.length; node++) {
    const depth = level[node]!
    let at = ranges[node * 2]!
    const end = ranges[node * 2 + 1]!
    itemStart.push(itemsAt.length)
    while (at < end && sids[order[at]!]!.length === depth) itemsAt.push(order[at++]!)
    childStart.push(edgeCode.length)
    while (at < end) {
      const code = sids[order[at]!]![depth]!
      let next = at + 1
      while (next < end && sids[order[next]!]![depth] === code) next++
      edgeCode.push(code)
      parent.push(node)
      level.push(depth + 1)
      ranges.push(at, next)
      at = next
    }
  }
  itemStart.push(itemsAt.length)
  childStart.push(edgeCode.length)
  return {
    depth: level.reduce((a, b) => Math.max(a, b), 0),
    nodes: parent.length,
    childStart: Int32Array.from(childStart),
    edgeCode: Int32Array.from(edgeCode),
    parent: Int32Array.from(parent),
    level: Uint8Array.from(level),
    itemStart: Int32Array.from(itemStart),
    itemsAt: Int32Array.from(itemsAt)
  }
}

/** The child of a node by code, -1 when there is none. */
export const child = (trie: Trie, node: number, code: number): number => {
  let low = trie.childStart[node]!
  let high = trie.childStart[node + 1]!
  while (low < high) {
    const middle = (low + high) >>> 1
    const found = trie.edgeCode[middle]!
    if (found === code) return middle + 1
    if (found < code) low = middle + 1
    else high = middle
  }
  return -1
}

/** The node of a prefix, -1 when no SID begins with it. */
export const find = (trie: Trie, codes: ArrayLike<number>): number => {
  let node = 0
  for (let l = 0; l < codes.length && node >= 0; l++) node = child(trie, node, codes[l]!)
  return node
}

/** The legal next codes of a node, ascending. */
export const children = (trie: Trie, node: number): Int32Array =>
  trie.edgeCode.subarray(trie.childStart[node], trie.childStart[node + 1])

/** The items whose SID ends at a node. */
export const items = (trie: Trie, node: number): Int32Array =>
  trie.itemsAt.subarray(trie.itemStart[node], trie.itemStart[node + 1])

/** The codes that lead to a node. */
export const codes = (trie: Trie, node: number): Int32Array => {
  const path = new Int32Array(trie.level[node]!)
  for (let at = node, l = path.length - 1; at > 0; at = trie.parent[at]!, l--) path[l] = trie.edgeCode[at - 1]!
  return path
}

/** Number of items below each node, the node itself included. */
export const itemsBelow = (trie: Trie): Int32Array => {
  const counts = new Int32Array(trie.nodes)
  for (let node = trie.nodes - 1; node >= 0; node--) {
    counts[node] = counts[node]! + trie.itemStart[node + 1]! - trie.itemStart[node]!
    if (node > 0) counts[trie.parent[node]!]! += counts[node]!
  }
  return counts
}
