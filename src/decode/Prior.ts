/**
 * Priors over items: weights of items from a source other than the policy, added to beam scores during decoding.
 */
import type * as Effect from "effect/Effect"
import { type Prompt } from "../policy/Prompt.ts"
import * as Branches from "../sid/trie/Branches.ts"
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

/** Sums the masses of items at and below every node of a space; `mass` returns that of an item, at least 0. */
export const ofMasses = (space: LeafSpace, mass: (item: number) => number): LogMass => {
  const branches = Branches.ofSpace(space)
  const { at, below } = Branches.sum(branches, mass)
  return {
    below: (node) => Math.log(below[branches.of[node]!] ?? 0),
    ending: (node) => space.ends(node) ? Math.log(at[branches.of[node]!]!) : -Infinity
  }
}
