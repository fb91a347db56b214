/**
 * GRPO as a recipe: the best supervised policy, rollouts, rewards, a frozen reference, a learner.
 *
 * A reward is swapped by giving another list; a technology by giving another layer.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Group from "../src/grpo/Grpo.ts"
import { PolicyLearner } from "../src/grpo/PolicyLearner.ts"
import { ReferenceModel } from "../src/grpo/ReferenceModel.ts"
import { RolloutActor } from "../src/grpo/RolloutActor.ts"
import { PolicyModel } from "../src/policy/PolicyModel.ts"
import { areZero, RewardActor, type WeightedReward } from "../src/reward/Reward.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import * as Supervised from "../src/sft/Sft.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Output from "./Output.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as Rewards from "./Rewards.ts"
import * as RunSettings from "./RunSettings.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Choices of a program in code. */
export interface GrpoOptions {
  readonly policy?: Policies.PolicyLayer | undefined
  /** Rewards instead of those that the settings name. */
  readonly rewards?: ReadonlyArray<WeightedReward> | undefined
}

/**
 * Improves the supervised policy of the run, or goes on where it stopped. When SFT has found a better policy since, it
 * begins anew from that one; what it had made goes when the first checkpoint of the new one stands.
 */
export const program = Effect.fn("grpo")(function*(options: GrpoOptions = {}) {
  const { run, settings } = yield* Workspace
  const { historyExcluded } = settings.evaluation
  const { split } = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const rewards = options.rewards ?? Rewards.weighted(settings.grpo.rewards)
  if (areZero(rewards)) {
    yield* Output.note(
      rewards.length === 0
        ? "grpo.rewards: there are no rewards, so GRPO learns nothing"
        : "grpo.rewards: every weight is 0, so all candidates earn the same and GRPO learns nothing"
    )
  }

  const start = yield* (yield* Checkpointer).best(Supervised.kind)
  if (start === undefined) {
    return yield* new RunError({ reason: new NoCheckpoint({ path: run, kind: Supervised.kind }) })
  }

  const stale = RunSettings.staleness(yield* RunSettings.madeBy(run))
  if (stale !== undefined) yield* Output.note(stale)

  const policy = Layer.effectDiscard(Effect.gen(function*() {
    const { parameters } = yield* PolicyModel
    yield* TrainingState.begin(parameters, start, settings.sft.optimizer)
  })).pipe(Layer.provideMerge((options.policy ?? Policies.flat)(settings, index)))

  const actors = Layer.mergeAll(
    RolloutActor.layerBeams({ groupSize: settings.grpo.groupSize, batch: 32, historyExcluded }),
    RewardActor.layer(rewards),
    ReferenceModel.layerFrozen,
    PolicyLearner.layer({ beta: settings.grpo.beta, optimizer: settings.grpo.optimizer })
  )
  return yield* Group.train(
    settings.grpo,
    { sequences: split.train, validation: split.validation, historyExcluded, origin: start.step },
    settings.seed
  ).pipe(Effect.provide(actors.pipe(Layer.provideMerge(policy))))
})
