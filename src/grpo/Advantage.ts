/**
 * Advantages of candidates from their rewards. Every deviation is the sample deviation (n - 1) plus 1e-4, as in TRL and
 * MiniOneRec.
 */
import * as Schema from "effect/Schema"
import { type GroupRewards } from "../reward/Reward.ts"
import { type Rollout } from "./RolloutActor.ts"

/** Rollout with its rewards and advantages. */
export interface AdvantageGroup {
  readonly rollout: Rollout
  readonly rewards: GroupRewards
  /** Advantages of the candidates, [G]. */
  readonly advantages: Float32Array
}

/**
 * Name of a formula for advantages, where r are the reward totals of a group, by default with the mean and deviation of
 * the group.
 *
 * - `group`: (r - mean) / deviation (GRPO, Shao et al. 2024).
 * - `batch`: (r - mean) / deviation of all totals of the batch (`scale_rewards="batch"` in TRL).
 * - `centred`: r - mean (Dr. GRPO, Liu et al. 2025; `scale_rewards="none"` in TRL).
 * - `leave-one-out`: r - mean r of the other candidates (RLOO, Ahmadian et al. 2024).
 * - `per-reward`: each reward standardised over its group, then the weighted sum, standardised over the batch (GDPO;
 *   `normalize_then_sum` in TRL). A reward with small differences counts as much as one with large differences.
 * - `raw`: r itself, for objectives that read rewards: distillation, top leaves, LambdaLoss, ApproxNDCG.
 */
export const Mode = Schema.Literals(["group", "batch", "centred", "leave-one-out", "per-reward", "raw"])
export type Mode = typeof Mode.Type

/** Settings of the advantages. */
export interface AdvantageOptions {
  /** Formula of the advantages. @default "group" */
  readonly mode?: Mode | undefined
  /** Weights of the rewards by name, for `per-reward`; the totals of other modes contain them. @default 1 for each */
  readonly weights?: Readonly<Record<string, number>> | undefined
}

const epsilon = 1e-4

const meanOf = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / values.length
}

const deviationOf = (values: ArrayLike<number>): number => {
  const mean = meanOf(values)
  let squares = 0
  for (let i = 0; i < values.length; i++) squares += (values[i]! - mean) ** 2
  return Math.sqrt(squares / (values.length - 1))
}

const centre = (rewards: Float32Array, divisor: number): Float32Array => {
  const mean = meanOf(rewards)
  return rewards.map((reward) => (reward - mean) / divisor)
}

/** Returns the standardised rewards of one group, [G]: (r - mean) / deviation; 0 for a group of one candidate. */
export const normalise = (rewards: Float32Array): Float32Array =>
  rewards.length < 2 ? new Float32Array(rewards.length) : centre(rewards, deviationOf(rewards) + epsilon)

const flat = (groups: ReadonlyArray<ArrayLike<number>>): ReadonlyArray<number> =>
  groups.flatMap((group) => Array.from(group))

const perReward = (
  rewards: ReadonlyArray<GroupRewards>,
  weights: Readonly<Record<string, number>>
): ReadonlyArray<Float32Array> => {
  const sums = rewards.map(({ parts, total }) => {
    const sum = new Float32Array(total.length)
    for (const [name, part] of Object.entries(parts)) {
      if (part === null) continue
      const weight = weights[name] ?? 1
      for (const [c, value] of normalise(part).entries()) sum[c] = sum[c]! + weight * value
    }
    return sum
  })
  const all = flat(sums)
  if (all.length < 2) return sums.map((sum) => new Float32Array(sum.length))
  const [mean, deviation] = [meanOf(all), deviationOf(all) + epsilon]
  return sums.map((sum) => sum.map((value) => (value - mean) / deviation))
}

/**
 * Returns the advantages of every group of a batch, [groups][G].
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Advantage from "sidereal/grpo/Advantage"
 *
 * const rewards = [{ total: Float32Array.of(1, 0, 0, 0), parts: {} }]
 * const [group] = Advantage.ofRewards(rewards)
 * assert.ok(group![0]! > 1 && group![1]! < 0)
 * const [centred] = Advantage.ofRewards(rewards, { mode: "centred" })
 * assert.deepEqual(Array.from(centred!), [0.75, -0.25, -0.25, -0.25])
 * ```
 */
export const ofRewards = (
  rewards: ReadonlyArray<GroupRewards>,
  { mode = "group", weights = {} }: AdvantageOptions = {}
): ReadonlyArray<Float32Array> => {
  switch (mode) {
    case "group":
      return rewards.map(({ total }) => normalise(total))
    case "batch": {
      const all = flat(rewards.map(({ total }) => total))
      const divisor = all.length < 2 ? Infinity : deviationOf(all) + epsilon
      return rewards.map(({ total }) => centre(total, divisor))
    }
    case "centred":
      return rewards.map(({ total }) => centre(total, 1))
    case "leave-one-out":
      return rewards.map(({ total }) => centre(total, total.length < 2 ? Infinity : (total.length - 1) / total.length))
    case "per-reward":
      return perReward(rewards, weights)
    case "raw":
      return rewards.map(({ total }) => total.slice())
  }
}

/** Pairs every rollout with its rewards and their advantages. */
export const assign = (
  rollouts: ReadonlyArray<Rollout>,
  rewards: ReadonlyArray<GroupRewards>,
  options: AdvantageOptions = {}
): ReadonlyArray<AdvantageGroup> => {
  const advantages = ofRewards(rewards, options)
  return rollouts.map((rollout, g) => ({ rollout, rewards: rewards[g]!, advantages: advantages[g]! }))
}

/**
 * Returns whether the advantages of a group are not all equal. In every mode equal advantages have no information about
 * the order of the candidates; the teacher of a distillation is then the reference itself.
 */
export const carriesSignal = ({ advantages }: AdvantageGroup): boolean =>
  advantages.some((advantage) => advantage !== advantages[0])
