/**
 * GRPO as a recipe: the loop, and the run that it is given.
 *
 * Every part of the loop is a service: a reward, an actor, a reference, a learner or a policy is swapped by giving another
 * layer.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Example } from "../src/catalog/Split.ts"
import * as PolicyRanking from "../src/evaluation/PolicyRanking.ts"
import * as Advantage from "../src/grpo/Advantage.ts"
import { type GrpoConfig, kind } from "../src/grpo/Grpo.ts"
import * as PolicyLearner from "../src/grpo/PolicyLearner.ts"
import * as Prompts from "../src/grpo/Prompts.ts"
import { ReferenceModel } from "../src/grpo/ReferenceModel.ts"
import * as RolloutActor from "../src/grpo/RolloutActor.ts"
import * as StepRecord from "../src/grpo/StepRecord.ts"
import * as GroupRelative from "../src/objective/GroupRelative.ts"
import * as Adam from "../src/optimizer/Adam.ts"
import * as LearningRate from "../src/optimizer/LearningRate.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import { PublishedWeights } from "../src/policy/PublishedWeights.ts"
import { areZero, RewardActor, type WeightedReward } from "../src/reward/Reward.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { Progress } from "../src/run/Progress.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import { type RunEvent, RunLog } from "../src/run/RunLog.ts"
import * as Supervised from "../src/sft/Sft.ts"
import * as Selection from "../src/training/Selection.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import type * as Cluster from "./Cluster.ts"
import * as Output from "./Output.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as Rewards from "./Rewards.ts"
import * as RolloutPlace from "./RolloutPlace.ts"
import * as RunSettings from "./RunSettings.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** What GRPO needs of the data. */
export interface GrpoData {
  readonly sequences: ReadonlyArray<Int32Array>
  readonly validation: ReadonlyArray<Example>
  /** Whether the history is left out of every list, as in the evaluation: a target that stands in it is no hit. */
  readonly historyExcluded: boolean
  /** The step of the supervised checkpoint that the policy holds: training that began from another begins anew. */
  readonly origin?: number | undefined
}

/** Choices of a loop in code. */
export interface GrpoHooks<E = never, R = never> {
  /** Called with the record of every step; a failure ends the training. */
  readonly onStep?: ((record: RunEvent) => Effect.Effect<void, E, R>) | undefined
  /** Asked after every step: true validates and ends the training there. */
  readonly stop?: ((selection: Selection.Selection, step: number) => boolean) | undefined
}

/** Improves the policy of the context; afterwards its parameters are those of the best validation. */
export const train = Effect.fn("Grpo.train")(
  function*<E = never, R = never>(grpo: GrpoConfig, data: GrpoData, seed: number, hooks: GrpoHooks<E, R> = {}) {
    const store = yield* PolicyParameters
    const published = yield* PublishedWeights
    const actor = yield* RolloutActor.RolloutActor
    const rewarder = yield* RewardActor
    const reference = yield* ReferenceModel
    const learner = yield* PolicyLearner.PolicyLearner
    const log = yield* RunLog
    const progress = yield* Progress
    const users = TrainingState.sample(data.validation, grpo.validationUsers, seed)
    const ranking = { beams: grpo.validationBeams, historyExcluded: data.historyExcluded }

    const selection = yield* Selection.open({
      kind,
      rounds: grpo.steps,
      every: grpo.stepsPerValidation,
      optimizer: grpo.optimizer,
      origin: data.origin
    })
    const validate = Effect.fnUntraced(function*(step: number) {
      const ranked = yield* Effect.scoped(
        Effect.flatMap(store.evaluation, (weights) => PolicyRanking.rankAll(users, weights, ranking))
      )
      const ndcg = PolicyRanking.meanNdcg(ranked, 10)
      yield* log.append({ kind: "grpo.validation", step, fields: { "NDCG@10": ndcg } })
      yield* selection.observe(ndcg, { step, round: step })
    })
    if (selection.step === 0) yield* validate(0)
    yield* published.publish(store.snapshot("weights"))

    const tracker = progress.start("grpo", grpo.steps, "steps", selection.step)
    let step = selection.step
    for (let stopped = false; step < grpo.steps && !stopped;) {
      step++
      const prompts = Prompts.draw(data.sequences, grpo.promptsPerStep, [seed, step - 1])
      const rollouts = yield* actor.generate(prompts, step)
      const rewards = yield* rewarder.score(rollouts.map(RolloutActor.rewardGroup))
      const groups = Advantage.assign(rollouts, rewards).filter(Advantage.carriesSignal)
      const report = groups.length === 0
        ? undefined
        : yield* learner.step(groups, yield* reference.score(PolicyLearner.candidates(groups)), step)
      yield* reference.sync(step)
      const record = StepRecord.of(step, rewards, groups, report)
      yield* log.append(record)
      yield* hooks.onStep?.(record) ?? Effect.void
      const reward = Number(record.fields["reward"]).toFixed(3)
      const usable = `${groups.length}/${rollouts.length} groups`
      tracker.update(step, `reward ${reward}, hits in ${usable}, best NDCG@10 ${selection.best.toFixed(4)}`)
      stopped = hooks.stop?.(selection, step) ?? false
      if (selection.isDue(step) || stopped) yield* validate(step)
    }
    const { best: bestNdcg, bestRound: bestStep, start: startNdcg } = selection
    tracker.finish(`NDCG@10 ${startNdcg.toFixed(4)} before, best ${bestNdcg.toFixed(4)} after step ${bestStep}`, step)
    yield* selection.finish
    return { steps: step, startNdcg, bestNdcg, bestStep }
  }
)

/** The services of the loop around a rollout actor, over the policy that it improves. */
export const around = <E, R>(
  grpo: GrpoConfig,
  rewards: ReadonlyArray<WeightedReward>,
  rollouts: Layer.Layer<RolloutActor.RolloutActor, E, R>
) =>
  Layer.mergeAll(
    rollouts,
    RewardActor.layer(rewards),
    ReferenceModel.layerFrozen,
    PolicyLearner.PolicyLearner.layer({
      objective: GroupRelative.make({ beta: grpo.beta }),
      optimizer: Adam.adamW(grpo.optimizer),
      learningRate: (step) => LearningRate.at(grpo.learningRate, step - 1, grpo.steps)
    })
  ).pipe(Layer.provideMerge(PublishedWeights.layer))

/** The services of the loop in this process, called directly. */
export const actors = (
  grpo: GrpoConfig,
  rewards: ReadonlyArray<WeightedReward>,
  { historyExcluded }: { readonly historyExcluded: boolean }
) => around(grpo, rewards, RolloutActor.RolloutActor.layer({ groupSize: grpo.groupSize, historyExcluded }))

/** Choices of a program in code. */
export interface GrpoOptions {
  readonly policy?: Policies.PolicyLayer | undefined
  /** Rewards instead of those that the settings name. */
  readonly rewards?: ReadonlyArray<WeightedReward> | undefined
  /** Where workers are met that draw; by default this process draws. */
  readonly at?: Cluster.Place | undefined
  /** Whether the groups of a step are drawn while the step before is learned from. @default false */
  readonly ahead?: boolean | undefined
}

/**
 * Improves the supervised policy of the run, or goes on where it stopped. When SFT has found a better policy since, it
 * begins anew from that one; what it had made goes when the first checkpoint of the new one stands.
 */
export const program = Effect.fn("grpo")(function*(options: GrpoOptions = {}) {
  const { run, settings } = yield* Workspace
  const { historyExcluded } = settings.evaluation
  const { dataset, split } = yield* Prepare.program()
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

  const supervised = Layer.effectDiscard(
    Effect.flatMap(PolicyParameters, (store) => TrainingState.begin(store, start, settings.sft.optimizer))
  )
  const { promptsPerStep, steps, stepsPerValidation } = settings.grpo
  const rollouts = RolloutPlace.layer(
    RolloutActor.RolloutActor.layer({ groupSize: settings.grpo.groupSize, historyExcluded }),
    {
      at: options.at,
      ahead: options.ahead !== true ? undefined : {
        prompts: (step) =>
          step > steps ? undefined : Prompts.draw(split.train, promptsPerStep, [settings.seed, step - 1]),
        // Checkpoints are made at validations.
        resumable: (step) => step % stepsPerValidation === 0
      }
    }
  )
  return yield* train(
    settings.grpo,
    { sequences: split.train, validation: split.validation, historyExcluded, origin: start.step },
    settings.seed
  ).pipe(
    Effect.provide(
      around(settings.grpo, rewards, rollouts).pipe(
        Layer.provideMerge(supervised),
        Layer.provideMerge(Policies.layer(options.policy ?? Policies.flat, dataset, index))
      )
    )
  )
})
