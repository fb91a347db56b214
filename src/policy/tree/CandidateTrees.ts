/**
 * Trees of candidates: the inner nodes on the paths of every group's candidates, their edges and the candidates' paths.
 */
import * as LeafSpace from "../../sid/trie/LeafSpace.ts"
import { type TreeLogProbs } from "../PolicyModel.ts"

/** Candidates of one group: trie nodes of leaves, [G]. */
export interface Leaves {
  readonly leaves: Int32Array
}

/** Trees of P groups. */
export interface CandidateTrees {
  /** Index of the first inner node of each group, then the number R of all inner nodes, [P + 1]. */
  readonly first: Int32Array
  /** Trie node of each inner node, [R]: the root of each group first, and parents before children. */
  readonly nodes: Int32Array
  /** Offsets into `edges`, [R + 1]: the edges of inner node r are `starts[r] .. starts[r + 1] - 1`. */
  readonly starts: Int32Array
  /** Column of each edge: the codes of the children, then the end column if a SID ends at the node. */
  readonly edges: Int32Array
  /** Largest number of edges of a node, K. */
  readonly widest: number
  /** Index of the edge taken by candidate c of group g at step l, [g][c][l]. */
  readonly paths: ReadonlyArray<ReadonlyArray<Int32Array>>
}

/** Builds the trees of groups; `end` is the column of the edge that ends a SID which is a prefix of another SID. */
export const make = (
  space: LeafSpace.LeafSpace,
  groups: ReadonlyArray<Leaves>,
  end: number
): CandidateTrees => {
  const first = [0]
  const nodes: Array<number> = []
  const starts = [0]
  const edges: Array<number> = []
  const paths: Array<Array<Int32Array>> = []
  const children = new Int32Array(space.width)
  for (const { leaves } of groups) {
    const known = new Set<number>()
    /** Index of the edge to each child; `endOf` holds that of the end of each inner node. */
    const edgeTo = new Map<number, number>()
    const endOf = new Map<number, number>()
    const visit = (node: number) => {
      if (known.has(node)) return
      known.add(node)
      if (node > 0) visit(space.parent(node))
      nodes.push(node)
      const count = space.children(node, children)
      for (const child of children.subarray(0, count)) {
        edgeTo.set(child, edges.length)
        edges.push(space.code(child))
      }
      if (space.ends(node)) {
        endOf.set(node, edges.length)
        edges.push(end)
      }
      starts.push(edges.length)
    }
    visit(0)
    for (const leaf of leaves) visit(space.childCount(leaf) > 0 ? leaf : space.parent(leaf))
    first.push(nodes.length)
    paths.push(Array.from(leaves, (leaf) => {
      const path = LeafSpace.path(space, leaf).map((node) => edgeTo.get(node)!)
      const last = endOf.get(leaf)
      return Int32Array.from(last === undefined ? path : [...path, last])
    }))
  }
  return {
    first: Int32Array.from(first),
    nodes: Int32Array.from(nodes),
    starts: Int32Array.from(starts),
    edges: Int32Array.from(edges),
    widest: starts.reduce((most, start, r) => r === 0 ? most : Math.max(most, start - starts[r - 1]!), 1),
    paths
  }
}

/** Returns the log-probabilities of each group's tree, from a table of the edges of all inner nodes, [R, K]. */
export const split = (
  { first, nodes, starts: all, widest }: CandidateTrees,
  table: Float32Array
): ReadonlyArray<TreeLogProbs> =>
  Array.from(first.subarray(1), (to, g): TreeLogProbs => {
    const from = first[g]!
    const starts = all.slice(from, to + 1).map((start) => start - all[from]!)
    const logProbs = new Float32Array(starts.at(-1)!)
    for (let r = from; r < to; r++) {
      const start = starts[r - from]!
      for (let e = start; e < starts[r - from + 1]!; e++) logProbs[e] = table[r * widest + e - start]!
    }
    return { nodes: nodes.slice(from, to), starts, logProbs }
  })
