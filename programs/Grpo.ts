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
import { ranking } from "../src/reward/RankingReward.ts"
import { areZero, type Reward, RewardActor, type WeightedReward } from "../src/reward/Reward.ts"
import { rule } from "../src/reward/RuleReward.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import * as Supervised from "../src/sft/Sft.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Output from "./Output.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import { SettingsError } from "./Settings.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** The rewards that settings can name. */
export const knownRewards: ReadonlyArray<Reward> = [rule, ranking]

/** Choices of a program in code. */
export interface GrpoOptions {
  readonly policy?: Policies.PolicyLayer | undefined
  /** Rewards instead of those that the settings name. */
  readonly rewards?: ReadonlyArray<WeightedReward> | undefined
}

/** Improves the supervised policy of the run, or goes on where it stopped. */
export const program = Effect.fn("grpo")(function*(options: GrpoOptions = {}) {
  const { run, settings } = yield* Workspace
  const { historyExcluded } = settings.evaluation
  const { split } = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const rewards = options.rewards ?? (yield* named(settings.grpo.rewards))
  if (areZero(rewards)) {
    yield* Output.note(
      rewards.length === 0
        ? "grpo.rewards: there are no rewards, so GRPO learns nothing"
        : "grpo.rewards: every weight is 0, so all candidates earn the same and GRPO learns nothing"
    )
  }

  const policy = Layer.effectDiscard(Effect.gen(function*() {
    const { parameters } = yield* PolicyModel
    const found = yield* TrainingState.loadBest(parameters, yield* Checkpointer, Supervised.kind)
    if (!found) {
      return yield* new RunError({ reason: new NoCheckpoint({ path: run, kind: Supervised.kind }) })
    }
    parameters.buffer.flat("weights").set(parameters.buffer.flat("average"))
    yield* parameters.push
  })).pipe(Layer.provideMerge((options.policy ?? Policies.flat)(settings, index)))

  const actors = Layer.mergeAll(
    RolloutActor.layerBeams({ groupSize: settings.grpo.groupSize, batch: 32, historyExcluded }),
    RewardActor.layer(rewards),
    ReferenceModel.layerFrozen,
    PolicyLearner.layer({ beta: settings.grpo.beta, optimizer: settings.grpo.optimizer })
  )
  return yield* Group.train(
    settings.grpo,
    { sequences: split.train, validation: split.validation, historyExcluded },
    settings.seed
  ).pipe(Effect.provide(actors.pipe(Layer.provideMerge(policy))))
})

/** The rewards with these names and weights. */
const named = Effect.fnUntraced(function*(weights: Readonly<Record<string, number>>) {
  const chosen: Array<WeightedReward> = []
  for (const [name, weight] of Object.entries(weights)) {
    const reward = knownRewards.find((candidate) => candidate.name === name)
    if (reward === undefined) {
      return yield* new SettingsError({
        source: "grpo.rewards",
        problems: [`"${name}" is no reward; known are ${knownRewards.map((known) => known.name).join(", ")}`]
      })
    }
    chosen.push({ reward, weight })
  }
  return chosen
})
