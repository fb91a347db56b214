/**
 * What is known of items without the policy, added to its scores while SIDs are written.
 */
import type * as Effect from "effect/Effect"
import { type Prompt } from "../policy/Prompt.ts"
import { type LeafSpace } from "../sid/trie/LeafSpace.ts"
import { type DecoderError } from "./DecoderError.ts"

/** Logarithms of the prior's mass. */
export interface LogMass {
  /** Of all items at or below a node. */
  below(node: number): number
  /** Of the items that end at a node. */
  ending(node: number): number
}

/**
 * A prior over items.
 *
 * Every step of a path adds weight x (log mass below the node - log mass below its parent) to the score of a beam, after
 * the policy's own normalisation; it is not renormalised, so a leaf's total is its log-probability and weight x its log
 * share of the mass. Renormalising at every node would throw the prior away.
 */
export interface Prior {
  readonly name: string
  /** At least 0. */
  readonly weight: number
  logMass(prompt: Prompt, space: LeafSpace): Effect.Effect<LogMass, DecoderError>
}

/** Returns a prior with another weight; a search that asks both computes their mass once. */
export const weighted = (prior: Prior, weight: number): Prior => ({ ...prior, weight })

/** The nodes of a space in an order in which each stands after its parent, and where its items end. */
interface Tree {
  readonly nodes: Int32Array
  readonly parents: Int32Array
  readonly items: Int32Array
  readonly ends: Int32Array
}

const trees = new WeakMap<LeafSpace, Tree>()

const treeOf = (space: LeafSpace): Tree => {
  const known = trees.get(space)
  if (known !== undefined) return known
  const [nodes, parents, items, ends]: [Array<number>, Array<number>, Array<number>, Array<number>] = [
    [0],
    [-1],
    [],
    []
  ]
  const children = new Int32Array(space.width)
  for (let at = 0; at < nodes.length; at++) {
    const node = nodes[at]!
    const count = space.children(node, children)
    for (let i = 0; i < count; i++) {
      nodes.push(children[i]!)
      parents.push(node)
    }
    if (!space.ends(node)) continue
    for (const item of space.items(node)) {
      items.push(item)
      ends.push(node)
    }
  }
  const tree: Tree = {
    nodes: Int32Array.from(nodes),
    parents: Int32Array.from(parents),
    items: Int32Array.from(items),
    ends: Int32Array.from(ends)
  }
  trees.set(space, tree)
  return tree
}

/** Sums the masses of items along a space; `mass` returns that of one item. */
export const ofMasses = (space: LeafSpace, mass: (item: number) => number): LogMass => {
  const { ends, items, nodes, parents } = treeOf(space)
  const ending = new Float64Array(space.nodes)
  for (let i = 0; i < items.length; i++) ending[ends[i]!] = ending[ends[i]!]! + mass(items[i]!)
  const below = ending.slice()
  for (let i = nodes.length - 1; i > 0; i--) below[parents[i]!] = below[parents[i]!]! + below[nodes[i]!]!
  return { below: (node) => Math.log(below[node]!), ending: (node) => Math.log(ending[node]!) }
}
