/**
 * The policy: for a prompt, it returns log-probabilities of the next code after any SID prefix.
 *
 * The contract is in terms of prompts and trie nodes only; each family decides how a prompt is laid out in positions
 * (`FlatPolicy`: one position per code). A policy holds no weights, defines no loss and runs no search: weights are
 * passed to every call, losses are `GroupObjective`s, searches are `LeafDecoder`s.
 *
 * Where one SID is a prefix of another, the probability of its node is shared between the children and the end of the
 * SID, so that the probabilities of all leaves sum to 1. All log-probabilities are natural.
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

/** Log-probabilities after scored nodes. */
export interface NodeScores {
  /**
   * Writes the log-probabilities of the children of a scored node into `into`, in the order of the space, and returns
   * the number of children.
   */
  children(prompt: number, node: number, into: Float32Array): number
  /**
   * Returns the log-probability that the SID ends at a scored node: -Infinity where no SID ends, 0 where the node has
   * no children.
   */
  end(prompt: number, node: number): number
}

/** Session of prompts whose states are computed once and reused by every score. */
export interface PromptSession {
  /** Scores nodes [B][nodes]: the root, node 0, and nodes whose parents were scored before. */
  score(nodes: ReadonlyArray<Int32Array>): Effect.Effect<NodeScores, PolicyError>
}

/** Options of a session. */
export interface OpenOptions {
  /** Weights of the whole session. */
  readonly weights: Weights
  /** Space of the SIDs that may follow: one for all prompts, or one per prompt. */
  readonly space: LeafSpace | ReadonlyArray<LeafSpace>
  /** Set over which probabilities are normalised: the children of the node, or the whole vocabulary. */
  readonly normaliser: "children" | "vocabulary"
}

/** Candidates of one prompt: trie nodes of leaves of the catalogue, [G]. */
export interface CandidateGroup {
  readonly prompt: Prompt
  readonly leaves: Int32Array
}

/**
 * Log-probabilities of all children of every inner node on the paths of a group's candidates, in compressed sparse
 * rows. Where a SID ends at a node with children, its end is the last entry of the row.
 */
export interface TreeLogProbs {
  /** Inner nodes [R], the root first and parents before children. */
  readonly nodes: Int32Array
  /** Offsets into `logProbs`, [R + 1]: the children of row r stand at `starts[r] .. starts[r + 1] - 1`. */
  readonly starts: Int32Array
  /** Natural log-probability of each child under the policy, and of the ends. */
  readonly logProbs: Float32Array
}

/** Candidates of one prompt with the data of a policy gradient. */
export interface ScoredGroup extends CandidateGroup {
  /** Advantage of each candidate, [G]. */
  readonly advantages: Float32Array
  /**
   * Log-probability of every step of each candidate (its codes, then its end if it has one) under the policy that drew
   * it, [G][steps]. @default none, for objectives that do not need it
   */
  readonly behaviour?: ReadonlyArray<Float32Array> | undefined
  /** Number of first steps that a hint set; the mask and the visits exclude them. @default 0 */
  readonly forced?: number | undefined
  /** Log-probabilities of the tree under the reference. @default none, for objectives that do not need it */
  readonly reference?: TreeLogProbs | undefined
  /** Whether each candidate is the answer to the prompt, [G]. @default all false */
  readonly answer?: ReadonlyArray<boolean> | undefined
}

/** Fails with `MissingLogProbs` if a group lacks log-probabilities that an objective needs. */
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

/** Batch of supervised training. */
export interface SupervisedBatch {
  /** Name of the program that reads the feeds. */
  readonly program: string
  readonly feeds: Readonly<Record<string, HostTensor>>
  /** Number of positions that carry a loss. */
  readonly targets: number
}

/** Part of a step with its share in the gradient. */
export interface GradientPart<B> {
  readonly batch: B
  /** Factor of the part's loss and gradient in the sums. @default 1 */
  readonly share?: number | undefined
}

/** Compiled loss with its gradient. */
export interface Gradient<B> {
  /**
   * Sets the store's gradient to the sum of share x gradient over the parts, and returns the loss and its terms, summed
   * in the same way. The gradient of an interrupted earlier step is replaced, so no partial sum survives.
   */
  accumulate(
    store: ParameterStore,
    parts: ReadonlyArray<GradientPart<B>>,
    options: { readonly seed: number; readonly step: number }
  ): Effect.Effect<LossTerms, PolicyError>
}

/** Loss and its terms by name, such as `kl`. */
export interface LossTerms {
  readonly loss: number
  readonly [term: string]: number
}

/** Family of policies over one catalogue. */
export class PolicyModel extends Context.Service<PolicyModel, {
  readonly family: string
  /** Names, shapes and initial values of the parameters; every read produces the same values. */
  readonly parameters: ParameterSpecs
  /** Computes prompts once, for the scores of a session. */
  open(
    prompts: ReadonlyArray<Prompt>,
    options: OpenOptions
  ): Effect.Effect<PromptSession, PolicyError, Scope.Scope>
  /** Returns the log-probabilities of each group's tree, in one forward pass over the prompt and the tree. */
  score(
    groups: ReadonlyArray<CandidateGroup>,
    weights: Weights
  ): Effect.Effect<ReadonlyArray<TreeLogProbs>, PolicyError>
  /** Function that scores every item after each prompt, [B, N]; none for a family without an item head. */
  readonly scoreItems: Option.Option<
    (prompts: ReadonlyArray<Prompt>, weights: Weights) => Effect.Effect<Matrix, PolicyError>
  >
  /** Packs examples into batches of about equal size; their order is a function of (seed, epoch). */
  plan(
    examples: ReadonlyArray<TrainingExample>,
    seed: number,
    epoch: number
  ): Effect.Effect<ReadonlyArray<SupervisedBatch>, PolicyError>
  /** Gradient of the mean cross-entropy per target position, in nats. */
  readonly supervised: Effect.Effect<Gradient<SupervisedBatch>, PolicyError, Scope.Scope>
  /** Compiles an objective over candidate trees; its scalars are fed with every step. */
  groupGradient(
    objective: GroupObjective
  ): Effect.Effect<Gradient<ReadonlyArray<ScoredGroup>>, PolicyError, Scope.Scope>
  /** Function that returns the number of positions of a prompt in the policy's input, for records. @default none */
  readonly positions?: ((prompt: Prompt) => number) | undefined
}>()("sidereal/policy/PolicyModel") {}
