/**
 * Record of a GRPO step in the log of a run.
 */
import { type GroupRewards } from "../reward/Reward.ts"
import { type RunEvent } from "../run/RunLog.ts"
import { type AdvantageGroup } from "./Advantage.ts"
import { type LearnerReport } from "./PolicyLearner.ts"

const mean = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / Math.max(1, values.length)
}

/**
 * Builds the record of a step: mean rewards, the share of usable groups (0 to 1), and the learner's report where at
 * least one group was usable.
 */
export const of = (
  step: number,
  rewards: ReadonlyArray<GroupRewards>,
  usable: ReadonlyArray<AdvantageGroup>,
  report: LearnerReport | undefined
): RunEvent => {
  const names = Object.keys(rewards[0]?.parts ?? {})
  return {
    kind: "grpo.step",
    step,
    fields: {
      reward: mean(rewards.map(({ total }) => mean(total))),
      usableGroupShare: usable.length / Math.max(1, rewards.length),
      ...Object.fromEntries(
        names.map((name) => [`reward.${name}`, mean(rewards.map(({ parts }) => mean(parts[name]!)))])
      ),
      ...(report === undefined ? {} : {
        ...report.terms,
        learningRate: report.learningRate,
        gradientNorm: report.gradientNorm
      })
    }
  }
}
