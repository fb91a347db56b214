/**
 * A step of GRPO in the log of a run.
 */
import { type GroupRewards } from "../../reward/Reward.ts"
import { type RunEvent } from "../../run/RunLog.ts"
import { type AdvantageGroup } from "../Advantage.ts"
import { type LearnerReport } from "../PolicyLearner.ts"

const mean = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / Math.max(1, values.length)
}

/** Makes the record: mean rewards over the groups that they apply to, the share of usable groups, and what the learner did if any was. */
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
        names.flatMap((name) => {
          const scores = rewards.flatMap(({ parts }) => parts[name] ?? [])
          return scores.length === 0 ? [] : [[`reward.${name}`, mean(scores.map(mean))]]
        })
      ),
      ...(report === undefined ? {} : {
        ...report.terms,
        learningRate: report.learningRate,
        gradientNorm: report.gradientNorm
      })
    }
  }
}
