/**
 * Dynamic sampling (Yu et al. 2025, "DAPO"): prompts are asked until enough groups have rewards that differ.
 *
 * Differs from the paper: the prompts that may be asked are given beforehand, so that the work is bounded and a step that
 * was lost is made again in the same way; a round asks for as many as the share of usable groups so far suggests.
 */
import * as Effect from "effect/Effect"
import { type GroupRewards } from "../../reward/Reward.ts"
import { RewardActor } from "../../reward/RewardActor.ts"
import { type RolloutPrompt } from "../Prompts.ts"
import * as Rollouts from "../RolloutActor.ts"

/** A group with its rewards. */
export interface RewardedRollout {
  readonly rollout: Rollouts.Rollout
  readonly rewards: GroupRewards
}

/** Result of a step. */
export interface DynamicRollouts {
  /** Every group that was generated, in the order of the prompts: what a step reports on. */
  readonly generated: ReadonlyArray<RewardedRollout>
  /** The first groups whose rewards differ, as many as were wanted where there are as many. */
  readonly kept: ReadonlyArray<RewardedRollout>
}

/** Returns whether the total rewards of a group are not all the same. */
export const differ = ({ total }: GroupRewards): boolean => total.some((reward) => reward !== total[0])

/** Generates and rewards groups for the first of the prompts, and for more of them until `wanted` groups are usable. */
export const generate = Effect.fn("DynamicSampling.generate")(function*(
  prompts: ReadonlyArray<RolloutPrompt>,
  step: number,
  { usable = ({ rewards }) => differ(rewards), wanted }: {
    readonly wanted: number
    /** @default the total rewards differ */
    readonly usable?: ((group: RewardedRollout) => boolean) | undefined
  }
) {
  const actor = yield* Rollouts.RolloutActor
  const rewarder = yield* RewardActor
  const generated: Array<RewardedRollout> = []
  const kept: Array<RewardedRollout> = []
  while (kept.length < wanted && generated.length < prompts.length) {
    const share = generated.length === 0 ? 1 : Math.max(1, kept.length) / generated.length
    const size = Math.ceil((wanted - kept.length) / share)
    const rollouts = yield* actor.generate(prompts.slice(generated.length, generated.length + size), step)
    const rewards = yield* rewarder.score(rollouts.map(Rollouts.rewardGroup))
    for (const [g, rollout] of rollouts.entries()) {
      const group = { rollout, rewards: rewards[g]! }
      generated.push(group)
      if (kept.length < wanted && usable(group)) kept.push(group)
    }
  }
  const result: DynamicRollouts = { generated, kept }
  return result
})
