/**
 * Dynamic sampling (Yu et al. 2025, "DAPO"): groups are generated until enough of them have rewards that differ.
 *
 * Differs from the paper: the prompts of a step are fixed beforehand, so that the work is bounded and a lost step can
 * be repeated; the size of a round follows from the share of usable groups so far.
 */
import * as Effect from "effect/Effect"
import { type GroupRewards } from "../../reward/Reward.ts"
import { RewardActor } from "../../reward/RewardActor.ts"
import { type RolloutPrompt } from "../Prompts.ts"
import * as Rollouts from "../RolloutActor.ts"

/** Rollout with its rewards. */
export interface RewardedRollout {
  readonly rollout: Rollouts.Rollout
  readonly rewards: GroupRewards
}

/** Result of a step. */
export interface DynamicRollouts {
  /** Every group that was generated, in the order of the prompts. */
  readonly generated: ReadonlyArray<RewardedRollout>
  /** First usable groups, `wanted` of them or all if there are fewer. */
  readonly kept: ReadonlyArray<RewardedRollout>
}

/** Returns whether the total rewards of a group are not all equal. */
export const differ = ({ total }: GroupRewards): boolean => total.some((reward) => reward !== total[0])

/**
 * Generates and scores groups of the prompts, in their order, until `wanted` groups are usable or no prompt is left.
 */
export const generate = Effect.fn("DynamicSampling.generate")(function*(
  prompts: ReadonlyArray<RolloutPrompt>,
  step: number,
  { usable = ({ rewards }) => differ(rewards), wanted }: {
    readonly wanted: number
    /** Function that returns whether a group is usable. @default its total rewards differ */
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
