/**
 * Probabilities of trie nodes that follow from probabilities of items: a node's is the sum of those below it.
 *
 * Any model that scores every item is thereby a generator over any space of SIDs: the log-probability of a child is
 * that of its node minus that of its parent, without search error. Sums are float64.
 */
import * as Branches from "../../sid/trie/Branches.ts"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"

/** Probabilities of the items and nodes of a space; `below` sums to 1 at the root. */
export interface Masses extends Branches.Sums {
  readonly branches: Branches.Branches
  /** Probability of each allowed item, [N]; 0 for others. */
  readonly items: Float64Array
}

/** Least mass of a node, so that every logarithm is finite. */
const least = 1e-300

/** Normalises scores [N] of the allowed items of a space by a softmax and sums the probabilities over its nodes. */
export const of = (space: LeafSpace, scores: Float64Array): Masses => {
  const branches = Branches.ofSpace(space)
  let most = -Infinity
  for (const item of branches.items) if (scores[item]! > most) most = scores[item]!
  const items = new Float64Array(scores.length)
  let total = 0
  for (const item of branches.items) {
    items[item] = Math.exp(scores[item]! - most)
    total += items[item]!
  }
  for (const item of branches.items) items[item] = items[item]! / total
  return { branches, items, ...Branches.sum(branches, (item) => items[item]!) }
}

/** Returns the log-probability of the step from a node to a child. */
export const toChild = ({ below, branches }: Masses, node: number, child: number): number => {
  const [from, to] = [branches.of[node]!, branches.of[child]!]
  return from === to ? 0 : Math.log(Math.max(below[to]!, least)) - Math.log(Math.max(below[from]!, least))
}

/** Returns the log-probability that a SID ends at a node at which one does. */
export const toEnd = ({ at, below, branches }: Masses, node: number): number => {
  const branch = branches.of[node]!
  return Math.log(Math.max(at[branch]!, least)) - Math.log(Math.max(below[branch]!, least))
}

/** Derivatives of a loss by the log-probabilities of steps, collected per branch. */
export interface Pulls {
  /** Sum of the derivatives by steps to the nodes of each branch, [branches]. */
  readonly to: Float64Array
  /** Sum of the derivatives by all steps from the nodes of each branch, [branches]. */
  readonly from: Float64Array
  /** Sum of the derivatives by the ends at the nodes of each branch, [branches]. */
  readonly end: Float64Array
}

/** Makes derivatives of 0. */
export const noPulls = ({ branches: { parents } }: Masses): Pulls => ({
  to: new Float64Array(parents.length),
  from: new Float64Array(parents.length),
  end: new Float64Array(parents.length)
})

/** Adds the derivative by the log-probability of the step from a node to a child. */
export const pullChild = ({ branches }: Masses, { from, to }: Pulls, node: number, child: number, by: number): void => {
  from[branches.of[node]!]! += by
  to[branches.of[child]!]! += by
}

/** Adds the derivative by the log-probability that a SID ends at a node. */
export const pullEnd = ({ branches }: Masses, { end, from }: Pulls, node: number, by: number): void => {
  from[branches.of[node]!]! += by
  end[branches.of[node]!]! += by
}

/**
 * Returns the derivative of the loss by each item's score, [N]: with `p` the item's probability and `m` a node's mass,
 * `p` times the sum over the nodes above the item of `(to - from) / m`, plus `end / at` where it ends.
 */
export const pullBack = (
  { at, below, branches: { ends, items: allowed, parents }, items }: Masses,
  { end, from, to }: Pulls
): Float64Array => {
  const share = new Float64Array(parents.length)
  for (let branch = 0; branch < parents.length; branch++) {
    const own = (to[branch]! - from[branch]!) / Math.max(below[branch]!, least)
    share[branch] = own + (branch === 0 ? 0 : share[parents[branch]!]!)
  }
  const out = new Float64Array(items.length)
  for (const [i, item] of allowed.entries()) {
    const branch = ends[i]!
    out[item] = items[item]! * (share[branch]! + end[branch]! / Math.max(at[branch]!, least))
  }
  return out
}
