/**
 * Groups of some prompts after GRPO: rewards and advantage of every candidate, and its probability before and after
 * training.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type TreeLogProbs } from "../../policy/PolicyModel.ts"
import { type GroupRewards } from "../../reward/Reward.ts"
import * as LeafSpace from "../../sid/trie/LeafSpace.ts"
import * as Advantage from "../Advantage.ts"
import * as Candidates from "../rollout/Candidates.ts"
import { type Rollout } from "../RolloutActor.ts"

/** Trie node on the path of a candidate. */
export const TracedNode = Schema.Struct({
  /** Last code of the node, in the notation of SIDs. */
  token: Schema.String,
  /** Place of its parent in the list of nodes, before its own; -1 for a node below the root, which is not listed. */
  parent: Schema.Int,
  /** Natural log-probability of the prefix under the policy before training. */
  before: Schema.Finite,
  /** Natural log-probability of the prefix under the trained policy. */
  after: Schema.Finite
})
export type TracedNode = typeof TracedNode.Type

/** Candidate of a prompt. */
export const TracedCandidate = Schema.Struct({
  /** Place of its leaf in the list of nodes. */
  node: Schema.Int,
  /** Title of the candidate's item. */
  title: Schema.String,
  /** Whether it is the answer. */
  hit: Schema.Boolean,
  /** Natural log-probability of its SID, including the end if its leaf has children, before training. */
  before: Schema.Finite,
  /** The same after training. */
  after: Schema.Finite,
  /** Sum of the log-probabilities of the steps that no hint set, under the final reference. */
  reference: Schema.Finite,
  /** The same under the trained policy. */
  policy: Schema.Finite,
  /**
   * KL(policy || reference) in nats, exact over the children of each node on the candidate's path, summed over the
   * nodes whose step no hint set; for the policy before training and after it.
   */
  klBefore: Schema.Finite,
  klAfter: Schema.Finite,
  /** Weighted sum of the rewards, each standardised first if `normalise` says so. */
  total: Schema.Finite,
  advantage: Schema.Finite
})
export type TracedCandidate = typeof TracedCandidate.Type

/** Prompt with its candidates. */
export const TracedGroup = Schema.Struct({
  user: Schema.String,
  /** Titles of the last ten items, oldest first. */
  history: Schema.Array(Schema.String),
  /** Title of the answer, null where it is not known. */
  truth: Schema.NullOr(Schema.String),
  nodes: Schema.Array(TracedNode),
  /** Candidates in the order of the group, [G]. */
  candidates: Schema.Array(TracedCandidate),
  /** Rewards before normalisation and weight, [rewards][G]; null where a reward does not apply. */
  parts: Schema.Array(Schema.NullOr(Schema.Array(Schema.Finite)))
})
export type TracedGroup = typeof TracedGroup.Type

/** Settings by which rewards become totals and advantages. */
const law = {
  /** Names and weights of the rewards. */
  rewards: Schema.Array(Schema.Struct({ name: Schema.String, weight: Schema.Finite })),
  /** Set over which each reward is standardised before it is weighted. */
  normalise: Schema.Literals(["none", "group", "batch"]),
  mode: Advantage.Mode,
  /**
   * Temperature of a distillation, whose teacher is softmax((reference + advantage / temperature) / softening); null for
   * other losses.
   */
  temperature: Schema.NullOr(Schema.Finite),
  /** Softening of a distillation's teacher. @default 1 */
  softening: Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1)))
}

/** Groups of some prompts under one trained policy. */
export const GroupTrace = Schema.Struct({
  /** Step of GRPO that produced the weights of the trained policy. */
  step: Schema.Int,
  /** Name of the objective. */
  objective: Schema.String,
  ...law,
  groups: Schema.Array(TracedGroup)
})
export type GroupTrace = typeof GroupTrace.Type

/** Candidate group with its rewards, advantages and trees. */
export interface Observed {
  readonly rollout: Rollout
  readonly rewards: GroupRewards
  /** Advantage of each candidate, [G]. */
  readonly advantages: Float32Array
  /** Log-probabilities of the candidates' tree under the policy before training; `after` is those after it. */
  readonly before: TreeLogProbs
  readonly after: TreeLogProbs
  readonly reference: TreeLogProbs
}

/** Names of users, items and rewards. */
export interface Names {
  readonly user: (user: number) => string
  readonly item: (item: number) => string
  /** Names of the rewards, in the order of the trace. */
  readonly rewards: ReadonlyArray<string>
}

const sum = (values: ArrayLike<number>): number => {
  let total = 0
  for (let i = 0; i < values.length; i++) total += values[i]!
  return total
}

/** Computes KL(policy || reference) over the children of each node of two trees of the same candidates, by node. */
const divergences = (policy: TreeLogProbs, reference: TreeLogProbs): ReadonlyMap<number, number> => {
  const rowOf = new Map(Array.from(reference.nodes, (node, row) => [node, row]))
  return new Map(Array.from(policy.nodes, (node, row) => {
    const [own, other] = [policy.starts[row]!, reference.starts[rowOf.get(node)!]!]
    let kl = 0
    for (let e = 0; e < policy.starts[row + 1]! - own; e++) {
      const logProb = policy.logProbs[own + e]!
      if (logProb > -Infinity) kl += Math.exp(logProb) * (logProb - reference.logProbs[other + e]!)
    }
    return [node, kl]
  }))
}

/** Builds the trace of a group. */
export const group = (
  space: LeafSpace.LeafSpace,
  { advantages, after, before, reference, rewards, rollout }: Observed,
  names: Names
): TracedGroup => {
  const { forced = 0, hits, items, leaves, prompt: { history, target } } = rollout
  const nodes: Array<TracedNode> = []
  const numberOf = new Map<number, number>()
  const klBefore = divergences(before, reference)
  const klAfter = divergences(after, reference)
  const candidates = Array.from(leaves, (leaf, c): TracedCandidate => {
    const steps = (tree: TreeLogProbs) => Candidates.stepsIn(space, tree, leaf)
    const [start, end, held] = [steps(before), steps(after), steps(reference)]
    const path = LeafSpace.path(space, leaf)
    for (const [l, node] of path.entries()) {
      if (numberOf.has(node)) continue
      numberOf.set(node, nodes.length)
      nodes.push({
        token: `<${String.fromCharCode(97 + l)}_${space.code(node)}>`,
        parent: numberOf.get(space.parent(node)) ?? -1,
        before: sum(start.subarray(0, l + 1)),
        after: sum(end.subarray(0, l + 1))
      })
    }
    const chosen = [0, ...path].slice(forced, end.length)
    return {
      node: numberOf.get(leaf)!,
      title: items[c]! < 0 ? "no item" : names.item(items[c]!),
      hit: hits[c]!,
      before: sum(start),
      after: sum(end),
      reference: sum(held.subarray(forced)),
      policy: sum(end.subarray(forced)),
      klBefore: sum(chosen.map((node) => klBefore.get(node)!)),
      klAfter: sum(chosen.map((node) => klAfter.get(node)!)),
      total: rewards.total[c]!,
      advantage: advantages[c]!
    }
  })
  return {
    user: names.user(history.user),
    history: Array.from(history.items.subarray(-10), names.item),
    truth: target < 0 ? null : names.item(target),
    nodes,
    candidates,
    parts: names.rewards.map((name) => {
      const part = rewards.parts[name]
      return part == null ? null : Array.from(part)
    })
  }
}
