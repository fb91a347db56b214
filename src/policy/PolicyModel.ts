/**
 * The policy: a prompt gives log-probabilities of the next codes of any SID prefix.
 *
 * The contract speaks of prompts and trie nodes only; how a prompt is laid out in positions is the business of the family
 * behind it (`FlatPolicy`: one position per code). A policy holds no weights, knows no loss and searches for nothing:
 * weights are given to every call, losses are `GroupObjective`s, searches are `LeafDecoder`s.
 *
 * Where one SID begins another, the probability of a node is shared between its children and the end of the SID, so that
 * the probabilities of all leaves sum to one.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type Matrix } from "../matrix/Matrix.ts"
import { type GroupObjective } from "../objective/Objective.ts"
import { type ParameterStore, type Weights } from "../optimizer/ParameterStore.ts"
import { type LeafSpace } from "../sid/trie/LeafSpace.ts"
import { type ParameterSpecs } from "../tensor/ParameterBuffer.ts"
import { type HostTensor } from "../tensor/TensorProgram.ts"
import { MissingLogProbs, PolicyError } from "./PolicyError.ts"
import { type Prompt, type TrainingExample } from "./Prompt.ts"

export type { Weights } from "../optimizer/ParameterStore.ts"

/** Scores of nodes. */
export interface NodeScores {
  /**
   * Writes the log-probabilities of the children of a scored node, in the order of the space; returns how many there
   * are.
   */
  children(prompt: number, node: number, into: Float32Array): number
  /** Log-probability that the SID ends at a scored node: -Infinity where none does, 0 where none goes on. */
  end(prompt: number, node: number): number
}

/** Prompts that were computed once; every score reuses them. */
export interface PromptSession {
  /** Scores nodes [prompt][node]: the root, which is node 0, and nodes whose parents were scored. */
  score(nodes: ReadonlyArray<Int32Array>): Effect.Effect<NodeScores, PolicyError>
}

/** How prompts are opened. */
export interface OpenOptions {
  readonly weights: Weights
  /** What may follow each prompt; one for all or one for each. */
  readonly space: LeafSpace | ReadonlyArray<LeafSpace>
  /** What the probabilities of children are shared among: the children of the node, or every token. */
  readonly normaliser: "children" | "vocabulary"
}

/** Candidates of one prompt: leaves of the catalogue. */
export interface CandidateGroup {
  readonly prompt: Prompt
  readonly leaves: Int32Array
}

/**
 * Log-probabilities of all children of every inner node that the candidates of a group pass, in compressed sparse rows.
 * Where a SID ends at a node that goes on, its end is the last of the row.
 */
export interface TreeLogProbs {
  /** Nodes [R], parents before children, the root first. */
  readonly nodes: Int32Array
  /** [R + 1]: the children of row r stand at `starts[r] .. starts[r + 1] - 1`. */
  readonly starts: Int32Array
  readonly logProbs: Float32Array
}

/** One group with what a policy gradient needs. */
export interface ScoredGroup extends CandidateGroup {
  /** [G]. */
  readonly advantages: Float32Array
  /** Log-probability of every step of each candidate when it was drawn: its codes, and the end where it has one. */
  readonly behaviour?: ReadonlyArray<Float32Array> | undefined
  /** Steps that every candidate begins with and did not choose: they are left out of the mask and of the visits. @default 0 */
  readonly forced?: number | undefined
  readonly reference?: TreeLogProbs | undefined
  /** Whether each candidate is the answer to the prompt [G]; none where it is left out. */
  readonly answer?: ReadonlyArray<boolean> | undefined
}

/** Fails when a group lacks log-probabilities that an objective needs. */
export const checkNeeds = (
  { name, needs }: GroupObjective,
  groups: ReadonlyArray<ScoredGroup>
): Effect.Effect<void, PolicyError> => {
  for (const what of ["behaviour", "reference"] as const) {
    const group = needs[what] ? groups.findIndex((one) => one[what] === undefined) : -1
    if (group >= 0) {
      return Effect.fail(new PolicyError({ reason: new MissingLogProbs({ objective: name, what, group }) }))
    }
  }
  return Effect.void
}

/** A batch of supervised training. */
export interface SupervisedBatch {
  /** The program that it is fed to. */
  readonly program: string
  readonly feeds: Readonly<Record<string, HostTensor>>
  /** Positions that carry a loss. */
  readonly targets: number
}

/** Part of a step, and its share in the gradient. */
export interface GradientPart<B> {
  readonly batch: B
  /** @default 1 */
  readonly share?: number | undefined
}

/** A loss with its gradient. */
export interface Gradient<B> {
  /**
   * Leaves the sum of share x gradient over the parts in the store, and returns the loss and its terms by name, summed in
   * the same way. What a step that was given up left there is replaced, so nothing is ever half added.
   */
  accumulate(
    store: ParameterStore,
    parts: ReadonlyArray<GradientPart<B>>,
    options: { readonly seed: number; readonly step: number }
  ): Effect.Effect<LossTerms, PolicyError>
}

/** The loss and its terms: `sid`, `kl`, `clipped` ... */
export interface LossTerms {
  readonly loss: number
  readonly [term: string]: number
}

/** A family of policies over one catalogue. */
export class PolicyModel extends Context.Service<PolicyModel, {
  readonly family: string
  /** How the parameters begin; the same values every time they are made. */
  readonly parameters: ParameterSpecs
  /** Computes prompts. */
  open(
    prompts: ReadonlyArray<Prompt>,
    options: OpenOptions
  ): Effect.Effect<PromptSession, PolicyError, Scope.Scope>
  /** Scores the trees of candidates, one forward pass for each prompt with its tree. */
  score(
    groups: ReadonlyArray<CandidateGroup>,
    weights: Weights
  ): Effect.Effect<ReadonlyArray<TreeLogProbs>, PolicyError>
  /** Scores every item of the catalogue after each prompt [B, N], where the family has a head for items. */
  readonly scoreItems: Option.Option<
    (prompts: ReadonlyArray<Prompt>, weights: Weights) => Effect.Effect<Matrix, PolicyError>
  >
  /** Cuts examples into batches; their order is a function of (seed, epoch). */
  plan(
    examples: ReadonlyArray<TrainingExample>,
    seed: number,
    epoch: number
  ): Effect.Effect<ReadonlyArray<SupervisedBatch>, PolicyError>
  /** Mean loss per code. */
  readonly supervised: Effect.Effect<Gradient<SupervisedBatch>, PolicyError, Scope.Scope>
  /** Compiles an objective over candidate trees; its scalars are fed with every step. */
  groupGradient(
    objective: GroupObjective
  ): Effect.Effect<Gradient<ReadonlyArray<ScoredGroup>>, PolicyError, Scope.Scope>
  /** Function that returns the number of positions of a prompt, for records; none where the family does not count them. */
  readonly positions?: ((prompt: Prompt) => number) | undefined
}>()("sidereal/policy/PolicyModel") {}
