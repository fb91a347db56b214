/**
 * Record of a GRPO step in the log of a run.
 */
import { type TreeLogProbs } from "../../policy/PolicyModel.ts"
import * as Prompt from "../../policy/Prompt.ts"
import { type RunEvent } from "../../run/RunLog.ts"
import * as LeafSpace from "../../sid/trie/LeafSpace.ts"
import { type AdvantageGroup } from "../Advantage.ts"
import { type LearnerReport } from "../PolicyLearner.ts"
import * as Candidates from "../rollout/Candidates.ts"
import { type RewardedRollout } from "../rollout/DynamicSampling.ts"
import { type Rollout } from "../RolloutActor.ts"

const mean = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / Math.max(1, values.length)
}

/**
 * Counts the inner nodes on the paths of a rollout's candidates, each once (`once`) and once per candidate (`all`), and
 * the codes of all candidates.
 */
const passed = (space: LeafSpace.LeafSpace, { leaves }: Rollout) => {
  const once = new Set<number>()
  let [all, codes] = [0, 0]
  for (const leaf of leaves) {
    const path = LeafSpace.path(space, leaf)
    codes += path.length
    // A leaf whose SID is a prefix of other SIDs is computed too: its end has a probability.
    const inner = space.childCount(leaf) > 0 ? path : path.slice(0, -1)
    all += inner.length
    for (const node of inner) once.add(node)
  }
  return { once: once.size, all, codes }
}

/**
 * Estimates the divergence in nats of the policy that drew from the reference, for each candidate with
 * log-probabilities under both: k3 = exp(r - l) - (r - l) - 1 (Schulman 2020), summed over the steps that no hint set.
 */
const divergences = (
  space: LeafSpace.LeafSpace,
  groups: ReadonlyArray<AdvantageGroup>,
  references: ReadonlyArray<TreeLogProbs>
): ReadonlyArray<number> =>
  groups.flatMap(({ rollout: { behaviour, forced = 0, leaves } }, g) => {
    const tree = references[g]
    if (behaviour === undefined || tree === undefined) return []
    return Array.from(leaves, (leaf, c) =>
      Candidates.stepsIn(space, tree, leaf).reduce((sum, reference, l) => {
        const gap = reference - behaviour[c]![l]!
        return l < forced ? sum : sum + Math.expm1(gap) - gap
      }, 0))
  })

/** Returns the smallest value that at least `share` of the values do not exceed. */
const quantile = (values: ReadonlyArray<number>, share: number): number =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * values.length) - 1)]!

/** Data of one step. */
export interface Step {
  readonly step: number
  /** Every group that was generated. */
  readonly generated: ReadonlyArray<RewardedRollout>
  /** Groups that the learner received. */
  readonly usable: ReadonlyArray<AdvantageGroup>
  /** Log-probabilities of the usable groups under the reference, in their order. @default none */
  readonly references?: ReadonlyArray<TreeLogProbs> | undefined
  /** Report of the learner; undefined if no group was usable. */
  readonly report: LearnerReport | undefined
  /** Seconds by phase. */
  readonly seconds: Readonly<Record<string, number>>
  /** Function that returns the number of positions of a prompt in the policy's input. @default none */
  readonly positions?: ((prompt: Prompt.Prompt) => number) | undefined
}

/**
 * Builds the record of a step: mean rewards in total and by name, the share of usable groups, the share of groups that
 * contain the answer, the learner's report, the seconds of each phase, and:
 *
 * - `nodes`, `nodesSaved`: inner nodes per group, and those saved by merging the candidates into a tree;
 * - `positions`, `positionsReplicated`: positions per group including the prompt, and those of a batch of G replicated
 *   prompts, G x (prompt + SID); only with `Step.positions`;
 * - `candidateKl`, `candidateKlP99`: mean and 99th percentile over candidates of the divergence from the reference in
 *   nats; only if the log-probabilities under both policies are known.
 */
export const of = (
  space: LeafSpace.LeafSpace,
  { generated, positions, references = [], report, seconds, step, usable }: Step
): RunEvent => {
  const rollouts = generated.map(({ rollout }) => rollout)
  const rewards = generated.map((group) => group.rewards)
  const names = [...new Set(rewards.flatMap(({ parts }) => Object.keys(parts).filter((name) => parts[name] !== null)))]
  const nodes = rollouts.map((rollout) => passed(space, rollout))
  const prompts = positions === undefined
    ? undefined
    : rollouts.map(({ prompt: { history } }) => positions(Prompt.ofHistory(history)))
  const kl = divergences(space, usable, references)
  return {
    kind: "grpo.step",
    step,
    fields: {
      reward: mean(rewards.map(({ total }) => mean(total))),
      usableGroupShare: usable.length / Math.max(1, rewards.length),
      hitShare: mean(rollouts.map(({ hits }) => hits.includes(true) ? 1 : 0)),
      ...Object.fromEntries(
        names.map((name) => [
          `reward.${name}`,
          mean(rewards.flatMap(({ parts }) => parts[name] == null ? [] : [mean(parts[name])]))
        ])
      ),
      nodes: mean(nodes.map(({ once }) => once)),
      nodesSaved: mean(nodes.map(({ all, once }) => all - once)),
      ...(prompts === undefined ? {} : {
        positions: mean(nodes.map(({ once }, g) => prompts[g]! + once)),
        positionsReplicated: mean(nodes.map(({ codes }, g) => rollouts[g]!.leaves.length * prompts[g]! + codes))
      }),
      ...(kl.length === 0 ? {} : { candidateKl: mean(kl), candidateKlP99: quantile(kl, 0.99) }),
      ...(report === undefined ? {} : {
        ...report.terms,
        learningRate: report.learningRate,
        gradientNorm: report.gradientNorm
      }),
      ...Object.fromEntries(Object.entries(seconds).map(([phase, value]) => [`seconds.${phase}`, value]))
    }
  }
}
