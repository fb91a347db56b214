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

/** Sums the masses of items along a space; `mass` returns that of one item. */
export const ofMasses = (space: LeafSpace, mass: (item: number) => number): LogMass => {
  const below = new Float64Array(space.nodes)
  const ending = (node: number) => space.ends(node) ? space.items(node).reduce((sum, item) => sum + mass(item), 0) : 0
  const children = new Int32Array(space.width)
  for (let node = space.nodes - 1; node >= 0; node--) {
    let mass = 0
    for (let i = space.children(node, children) - 1; i >= 0; i--) mass += below[children[i]!]!
    below[node] = mass + ending(node)
  }
  return { below: (node) => Math.log(below[node]!), ending: (node) => Math.log(ending(node)) }
}
