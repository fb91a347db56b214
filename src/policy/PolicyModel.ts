/**
 * The policy: a history gives log-probabilities of the legal next codes of any SID prefix.
 *
 * The contract speaks of items, histories and trie nodes only; how a history is laid out in positions is the business of
 * the family behind it (`FlatPolicy`: one position per code). Every softmax runs over the existing children of a trie
 * node, in training as in decoding, so the leaves' probabilities sum to one and no invalid SID can be written.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Feeds, type ParameterStore } from "../optimizer/ParameterStore.ts"
import { type SidIndex } from "../sid/SidIndex.ts"
import { type TensorError } from "../tensor/TensorError.ts"

/** Weights by name: those in training, their average, or a copy. */
export type PolicyWeights = Feeds

/** Scores of the children of trie nodes. */
export interface ChildScores {
  /**
   * Writes the log-probabilities of the children of `node`, in the order of the trie's edges, as scored in `row` of
   * the frontier (the prompt itself for the root); returns how many there are.
   */
  write(row: number, node: number, target: Float32Array): number
}

/** The prefixes to extend: `width` columns for each prompt, row-major [B, width]; -1 fills unused columns. */
export interface Frontier {
  readonly width: number
  readonly nodes: Int32Array
  /** The column of the previous frontier that holds the parent; ignored for children of the root. */
  readonly parents: Int32Array
}

/** A batch of B prompts, computed once; every extension reuses it. */
export interface PromptBatch {
  readonly prompts: number
  /** Scores of the root's children, one row per prompt. */
  readonly root: ChildScores
  /** Scores of the children of every node of the frontier, one row per column. Frontiers go one level deeper each. */
  extend(frontier: Frontier): Effect.Effect<ChildScores, TensorError, Scope.Scope>
}

/** A batch of training sequences in the family's own layout. */
export interface SupervisedBatch {
  /** Positions that carry a loss. */
  readonly targets: number
  /** Positions computed, padding included. */
  readonly positions: number
  readonly layout: unknown
}

/** Candidates of one prompt for a policy-gradient step: leaves of the trie with their advantages. */
export interface CandidateGroup {
  readonly history: Int32Array
  readonly leaves: Int32Array
}

/** Log-probabilities of each candidate's codes, by group, candidate and level; forced codes have 0. */
export type GroupLogProbs = ReadonlyArray<ReadonlyArray<Float32Array>>

/** One group with what the gradient needs. */
export interface ScoredGroup extends CandidateGroup {
  readonly advantages: Float32Array
  /** Log-probabilities when the candidates were drawn. */
  readonly behaviour: ReadonlyArray<Float32Array>
  readonly reference: ReadonlyArray<Float32Array>
}

/** What a policy-gradient step measured. */
export interface PolicyGradientReport {
  readonly loss: number
  /** Mean k3 divergence from the reference per code. */
  readonly kl: number
}

/** A policy with its parameters and tensor programs. */
export class PolicyModel extends Context.Service<PolicyModel, {
  readonly family: string
  readonly index: SidIndex
  readonly parameters: ParameterStore
  /** Computes the prompts of B histories (item numbers, oldest first; may be empty). */
  open(
    histories: ReadonlyArray<Int32Array>,
    weights: PolicyWeights
  ): Effect.Effect<PromptBatch, TensorError, Scope.Scope>
  /** Cuts sequences into batches; the order is a function of (seed, epoch). */
  plan(sequences: ReadonlyArray<Int32Array>, seed: number, epoch: number): ReadonlyArray<SupervisedBatch>
  /** Mean loss per code of a batch; its gradient is left in the store of the parameters. `step` seeds the dropout. */
  supervise(batch: SupervisedBatch, seed: number, step: number): Effect.Effect<number, TensorError>
  /** Log-probabilities of candidates under any weights, one forward pass per prompt and its tree. */
  score(
    groups: ReadonlyArray<CandidateGroup>,
    weights: PolicyWeights
  ): Effect.Effect<GroupLogProbs, TensorError>
  /** The GRPO loss with weight `beta` on the divergence; its gradient is left in the store of the parameters. */
  improve(groups: ReadonlyArray<ScoredGroup>, beta: number): Effect.Effect<PolicyGradientReport, TensorError>
}>()("sidereal/policy/PolicyModel") {}
