/**
 * Probabilities of trie nodes that follow from probabilities of items: a node's is the sum of those below it.
 *
 * Any model that scores every item is thereby a generator over any space of SIDs: the log-probability of a child is
 * that of its node minus that of its parent, without search error. Sums are float64.
 */
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"

/** Nodes of the allowed items of a space. */
export interface SpaceNodes {
  /** Node at which each item's SID ends, [N]; -1 for an item that is not allowed. */
  readonly leaves: Int32Array
  /** Parent of each node, [nodes]; -1 for the root. */
  readonly parents: Int32Array
}

/** Reads the leaves of `items` items and the parents of all nodes of a space. */
export const nodesOf = (space: LeafSpace, items: number): SpaceNodes => ({
  leaves: Int32Array.from({ length: items }, (_, item) => space.leaf(item)),
  parents: Int32Array.from({ length: space.nodes }, (_, node) => space.parent(node))
})

/** Probabilities of the items and nodes of a space. */
export interface Masses {
  /** Probability of each allowed item, [N]; 0 for others. */
  readonly items: Float64Array
  /** Sum of the probabilities of the items at and below each node, [nodes]; 1 at the root. */
  readonly below: Float64Array
  /** Sum of the probabilities of the items that end at each node, [nodes]. */
  readonly at: Float64Array
}

/** Least mass of a node, so that every logarithm is finite. */
const least = 1e-300

/** Normalises scores [N] of the allowed items by a softmax and sums the probabilities over the nodes. */
export const of = ({ leaves, parents }: SpaceNodes, scores: Float64Array): Masses => {
  let most = -Infinity
  for (const [item, leaf] of leaves.entries()) if (leaf >= 0 && scores[item]! > most) most = scores[item]!
  const items = new Float64Array(scores.length)
  const at = new Float64Array(parents.length)
  let total = 0
  for (const [item, leaf] of leaves.entries()) {
    if (leaf < 0) continue
    items[item] = Math.exp(scores[item]! - most)
    total += items[item]!
  }
  for (const [item, leaf] of leaves.entries()) {
    if (leaf < 0) continue
    items[item] = items[item]! / total
    at[leaf]! += items[item]!
  }
  const below = at.slice()
  // Every node has a smaller number than its children.
  for (let node = parents.length - 1; node > 0; node--) below[parents[node]!]! += below[node]!
  return { items, below, at }
}

/** Returns the log-probability of the step from a node to a child. */
export const toChild = ({ below }: Masses, node: number, child: number): number =>
  Math.log(Math.max(below[child]!, least)) - Math.log(Math.max(below[node]!, least))

/** Returns the log-probability that a SID ends at a node. */
export const toEnd = ({ at, below }: Masses, node: number): number =>
  Math.log(Math.max(at[node]!, least)) - Math.log(Math.max(below[node]!, least))

/** Derivatives of a loss by the log-probabilities of steps, collected per node. */
export interface Pulls {
  /** Sum of the derivatives by steps to each node, [nodes]. */
  readonly to: Float64Array
  /** Sum of the derivatives by all steps from each node, [nodes]. */
  readonly from: Float64Array
  /** Sum of the derivatives by the ends at each node, [nodes]. */
  readonly end: Float64Array
}

/** Makes derivatives of 0. */
export const noPulls = ({ parents }: SpaceNodes): Pulls => ({
  to: new Float64Array(parents.length),
  from: new Float64Array(parents.length),
  end: new Float64Array(parents.length)
})

/**
 * Returns the derivative of the loss by each item's score, [N]: with `p` the item's probability and `m` a node's mass,
 * `p` times the sum over the nodes above the item of `(to - from) / m`, plus `end / at` where it ends.
 */
export const pullBack = (
  { leaves, parents }: SpaceNodes,
  { at, below, items }: Masses,
  { end, from, to }: Pulls
): Float64Array => {
  const share = new Float64Array(parents.length)
  for (let node = 0; node < parents.length; node++) {
    const own = (to[node]! - from[node]!) / Math.max(below[node]!, least)
    share[node] = own + (node === 0 ? 0 : share[parents[node]!]!)
  }
  const out = new Float64Array(items.length)
  for (const [item, leaf] of leaves.entries()) {
    if (leaf >= 0) out[item] = items[item]! * (share[leaf]! + end[leaf]! / Math.max(at[leaf]!, least))
  }
  return out
}
