/**
 * Priors over items: weights of items from a source other than the policy, added to beam scores during decoding.
 */
import type * as Effect from "effect/Effect"
import { type Prompt } from "../policy/Prompt.ts"
import { type LeafSpace } from "../sid/trie/LeafSpace.ts"
import { type DecoderError } from "./DecoderError.ts"

/** Natural logarithms of the prior's mass, -Infinity where the mass is 0. */
export interface LogMass {
  /** Returns the log mass of all items at or below a node. */
  below(node: number): number
  /** Returns the log mass of the items whose SIDs end at a node. */
  ending(node: number): number
}

/**
 * Prior over items.
 *
 * Every step of a path adds weight x (log mass below the node - log mass below its parent) to the score of a beam,
 * after the policy's own normalisation. The sum is not renormalised, so a leaf's score is its log-probability plus
 * weight x the logarithm of its share of the mass. Renormalising at every node would cancel the prior.
 */
export interface Prior {
  /** Name in errors. */
  readonly name: string
  /** Factor of the prior's log mass in the score, at least 0. */
  readonly weight: number
  /** Computes the masses of all nodes of a space after a prompt. */
  logMass(prompt: Prompt, space: LeafSpace): Effect.Effect<LogMass, DecoderError>
}

/** Returns a prior with another weight; searches with either compute the mass of a prompt once. */
export const weighted = (prior: Prior, weight: number): Prior => ({ ...prior, weight })

/** Nodes of a space, each after its parent, and its items with the nodes at which their SIDs end. */
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

/** Sums the masses of items at and below every node of a space; `mass` returns that of an item, at least 0. */
export const ofMasses = (space: LeafSpace, mass: (item: number) => number): LogMass => {
  const { ends, items, nodes, parents } = treeOf(space)
  const ending = new Float64Array(space.nodes)
  for (let i = 0; i < items.length; i++) ending[ends[i]!] = ending[ends[i]!]! + mass(items[i]!)
  const below = ending.slice()
  for (let i = nodes.length - 1; i > 0; i--) below[parents[i]!] = below[parents[i]!]! + below[nodes[i]!]!
  return { below: (node) => Math.log(below[node]!), ending: (node) => Math.log(ending[node]!) }
}
