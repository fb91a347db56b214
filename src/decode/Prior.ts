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
 * A prior over items.
 *
 * Every step of a path adds weight x (log mass below the node - log mass below its parent) to the score of a beam,
 * after the policy's own normalisation. The sum is not renormalised, so a leaf's score is its log-probability plus
 * weight x the logarithm of its share of the mass. Renormalising at every node would cancel the prior.
 */
export interface Prior {
  readonly name: string
  /** Factor of the prior's log mass in the score, at least 0. */
  readonly weight: number
  logMass(prompt: Prompt, space: LeafSpace): Effect.Effect<LogMass, DecoderError>
}

/** Sums the masses of items at and below every node of a space; `mass` returns the mass of one item, at least 0. */
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
