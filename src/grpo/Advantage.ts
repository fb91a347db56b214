/**
 * Group-relative advantages (Shao et al. 2024): `A = (r - mean) / (std + 1e-4)` with the sample deviation (n - 1), as
 * in TRL and MiniOneRec. A group whose rewards are all equal has advantage 0 everywhere.
 */
import { type GroupRewards } from "../reward/Reward.ts"
import { type Rollout } from "./RolloutActor.ts"

/** A rollout with its rewards and advantages. */
export interface AdvantageGroup {
  readonly rollout: Rollout
  readonly rewards: GroupRewards
  /** Advantages of the candidates, [G]. */
  readonly advantages: Float32Array
}

/** Returns the advantages [G] of one group of rewards [G]; zeros for fewer than two candidates. */
export const normalise = (rewards: Float32Array): Float32Array => {
  const count = rewards.length
  if (count < 2) return new Float32Array(count)
  let sum = 0
  for (const reward of rewards) sum += reward
  const mean = sum / count
  let squares = 0
  for (const reward of rewards) squares += (reward - mean) ** 2
  const deviation = Math.sqrt(squares / (count - 1))
  return rewards.map((reward) => (reward - mean) / (deviation + 1e-4))
}

/** Pairs every rollout with its rewards and their advantages. */
export const assign = (
  rollouts: ReadonlyArray<Rollout>,
  rewards: ReadonlyArray<GroupRewards>,
  advantage: (rewards: Float32Array) => Float32Array = normalise
): ReadonlyArray<AdvantageGroup> =>
  rollouts.map((rollout, g) => ({ rollout, rewards: rewards[g]!, advantages: advantage(rewards[g]!.total) }))

/** Returns whether a group contributes to the policy gradient: whether any of its advantages is not 0. */
export const carriesSignal = ({ advantages }: AdvantageGroup): boolean =>
  advantages.some((advantage) => advantage !== 0)
