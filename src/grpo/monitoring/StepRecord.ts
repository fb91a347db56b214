/**
 * A step of GRPO in the log of a run.
 */
import { type RunEvent } from "../../run/RunLog.ts"
import * as LeafSpace from "../../sid/trie/LeafSpace.ts"
import { type AdvantageGroup } from "../Advantage.ts"
import { type LearnerReport } from "../PolicyLearner.ts"
import { type RewardedRollout } from "../rollout/DynamicSampling.ts"
import { type Rollout } from "../RolloutActor.ts"

const mean = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / Math.max(1, values.length)
}

/** Nodes of the trie that the candidates of a rollout pass before their last code, each once, and as often as passed. */
const passed = (space: LeafSpace.LeafSpace, { leaves }: Rollout) => {
  const once = new Set<number>()
  let all = 0
  for (const leaf of leaves) {
    const path = LeafSpace.path(space, leaf).slice(0, -1)
    all += path.length
    for (const node of path) once.add(node)
  }
  return { once: once.size, all }
}

/** What a step did. */
export interface Step {
  readonly step: number
  /** Every group that was generated. */
  readonly generated: ReadonlyArray<RewardedRollout>
  /** Groups that the learner saw. */
  readonly usable: ReadonlyArray<AdvantageGroup>
  /** None where no group was usable. */
  readonly report: LearnerReport | undefined
  readonly seconds: Readonly<Record<string, number>>
}

/**
 * Makes the record of a step: mean rewards in total and by name, the share of usable groups, the share of groups that hold
 * the answer, positions computed and saved per group by merging candidates into a tree (the prompt, computed once instead
 * of once per candidate, is not among them), what the learner did, and the seconds of each phase.
 */
export const of = (
  space: LeafSpace.LeafSpace,
  { generated, report, seconds, step, usable }: Step
): RunEvent => {
  const rollouts = generated.map(({ rollout }) => rollout)
  const rewards = generated.map((group) => group.rewards)
  const names = [...new Set(rewards.flatMap(({ parts }) => Object.keys(parts).filter((name) => parts[name] !== null)))]
  const nodes = rollouts.map((rollout) => passed(space, rollout))
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
      ...(report === undefined ? {} : {
        ...report.terms,
        learningRate: report.learningRate,
        gradientNorm: report.gradientNorm
      }),
      ...Object.fromEntries(Object.entries(seconds).map(([phase, value]) => [`seconds.${phase}`, value]))
    }
  }
}
