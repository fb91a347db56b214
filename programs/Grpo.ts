/**
 * GRPO as a recipe: the training loop, and its application to a run.
 *
 * Every part of the loop is a service: a reward, an actor, a reference, a learner or a policy is replaced by providing
 * another layer.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Example } from "../src/catalog/Split.ts"
import * as Popularity from "../src/evaluation/baseline/Popularity.ts"
import * as Advantage from "../src/grpo/Advantage.ts"
import { advantageOf, GrpoConfig, isUnanswerable, kind, promptsOf } from "../src/grpo/Grpo.ts"
import * as Alarms from "../src/grpo/monitoring/Alarms.ts"
import * as Phases from "../src/grpo/monitoring/Phases.ts"
import * as StepRecord from "../src/grpo/monitoring/StepRecord.ts"
import * as Validation from "../src/grpo/monitoring/Validation.ts"
import * as PolicyLearner from "../src/grpo/PolicyLearner.ts"
import * as Prompts from "../src/grpo/Prompts.ts"
import { ReferenceModel } from "../src/grpo/ReferenceModel.ts"
import * as DynamicSampling from "../src/grpo/rollout/DynamicSampling.ts"
import { type RolloutActor } from "../src/grpo/RolloutActor.ts"
import * as ObjectiveConfig from "../src/objective/ObjectiveConfig.ts"
import * as Adam from "../src/optimizer/Adam.ts"
import * as LearningRate from "../src/optimizer/LearningRate.ts"
import { PolicyModel } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import { PublishedWeights } from "../src/policy/PublishedWeights.ts"
import { type RewardError } from "../src/reward/Reward.ts"
import { areZero, RewardActor, type Weighted, type WeightedReward } from "../src/reward/RewardActor.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { Progress } from "../src/run/Progress.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import { type RunEvent, RunLog } from "../src/run/RunLog.ts"
import * as Supervised from "../src/sft/Sft.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as Selection from "../src/training/Selection.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import type * as Cluster from "./Cluster.ts"
import * as Note from "./Note.ts"
import * as Output from "./Output.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as Rewards from "./Rewards.ts"
import * as RewardTrace from "./RewardTrace.ts"
import * as RolloutPlace from "./RolloutPlace.ts"
import * as Rollouts from "./Rollouts.ts"
import * as RunSettings from "./RunSettings.ts"
import * as Teachers from "./Teachers.ts"
import * as Tokenize from "./Tokenize.ts"
import * as Trial from "./Trial.ts"
import { Workspace } from "./Workspace.ts"

/** Data of GRPO. */
export interface GrpoData {
  /** Item numbers of each training user, oldest first. */
  readonly sequences: ReadonlyArray<Int32Array>
  /** Times of the events of `sequences`, in ms since 1970. @default none */
  readonly times?: ReadonlyArray<Float64Array> | undefined
  /** Validation examples, from which `validationUsers` are drawn. */
  readonly validation: ReadonlyArray<Example>
  /**
   * Whether items of the history are excluded from every list, as in the evaluation; a target in the history is no hit.
   */
  readonly historyExcluded: boolean
  /**
   * Step of the supervised checkpoint from which the policy was loaded; training that started from another step
   * restarts.
   * @default none
   */
  readonly origin?: number | undefined
}

/** Returns the prompts of every step. */
const promptsFor = (grpo: GrpoConfig, data: GrpoData, seed: number): Prompts.Prompts => {
  const validated = Trial.usersOf(grpo, data, seed).map(({ history }) => history)
  return Prompts.make({ ...data, validated }, promptsOf(grpo), seed)
}

/** Hooks of the loop for programs in code. */
export interface GrpoHooks<E = never, R = never> {
  /** Function called with the record of every step; a failure ends the training. @default none */
  readonly onStep?: ((record: RunEvent) => Effect.Effect<void, E, R>) | undefined
  /** Function called with every alarm of a validation. @default prints a note on standard error */
  readonly onAlarm?: ((alarm: Alarms.Alarm) => Effect.Effect<void, E, R>) | undefined
  /** Function called after every step; true validates and ends the training at this step. @default never */
  readonly stop?: ((selection: Selection.Selection, step: number) => boolean) | undefined
}

/**
 * Trains the policy of the context by GRPO; afterwards its parameters are those of the best validation, or their mixture
 * with those before training.
 */
export const train = Effect.fn("Grpo.train")(
  function*<E = never, R = never>(grpo: GrpoConfig, data: GrpoData, seed: number, hooks: GrpoHooks<E, R> = {}) {
    const store = yield* PolicyParameters
    const published = yield* PublishedWeights
    const reference = yield* ReferenceModel
    const learner = yield* PolicyLearner.PolicyLearner
    const { positions } = yield* PolicyModel
    const log = yield* RunLog
    const progress = yield* Progress
    const { space } = yield* Sids
    const prompts = promptsFor(grpo, data, seed)
    const asked = grpo.promptsPerStep * grpo.rollout.overGeneration
    const advantage = advantageOf(grpo)
    const isAnchor = ({ rollout }: DynamicSampling.RewardedRollout) =>
      grpo.objective.anchor > 0 && rollout.hits.includes(true)
    const phases = Phases.make()
    const trial = yield* phases.time("validation", Trial.make(kind, grpo, data, seed))
    const { before } = trial
    const selection = yield* Selection.open({
      kind,
      rounds: grpo.steps,
      every: grpo.stepsPerValidation,
      optimizer: grpo.optimizer,
      origin: data.origin,
      companions: { reference }
    })
    const records: Array<RunEvent> = []
    const validate = Effect.fnUntraced(function*(step: number) {
      const validation = step === 0 ? before : yield* phases.time("validation", trial.measure)
      yield* log.append(Validation.event(kind, step, validation))
      for (const alarm of Alarms.of(step, records, validation, before)) {
        yield* log.append(Alarms.event(alarm))
        yield* hooks.onAlarm?.(alarm) ?? Note.print(`grpo: ${alarm.name} at step ${step}: ${alarm.message}`)
      }
      yield* selection.observe(validation.ndcg, { step, round: step })
    })
    if (selection.step === 0) yield* validate(0)
    yield* published.publish(store.snapshot("weights"))

    const tracker = progress.start("grpo", grpo.steps, "steps", selection.step)
    let step = selection.step
    for (let stopped = false; step < grpo.steps && !stopped;) {
      step++
      const { generated, kept } = yield* phases.time(
        "rollout",
        DynamicSampling.generate(prompts.draw(step, asked), step, {
          wanted: grpo.promptsPerStep,
          usable: (group) => DynamicSampling.differ(group.rewards) || isAnchor(group)
        })
      )
      const groups = Advantage.assign(
        kept.map(({ rollout }) => rollout),
        kept.map(({ rewards }) => rewards),
        advantage
      ).filter((group) => Advantage.carriesSignal(group) || isAnchor(group))
      const candidates = PolicyLearner.candidates(groups)
      const references = learner.needs.reference ? yield* phases.time("reference", reference.score(candidates)) : []
      const report = groups.length === 0
        ? undefined
        : yield* phases.time("learn", learner.step(groups, references, step))
      yield* reference.sync(step)
      const record = StepRecord.of(space, {
        step,
        generated,
        usable: groups,
        references,
        report,
        seconds: phases.take(),
        positions
      })
      records.push(record)
      yield* log.append(record)
      yield* hooks.onStep?.(record) ?? Effect.void
      const reward = Number(record.fields["reward"]).toFixed(3)
      const usable = `${groups.length}/${generated.length} groups`
      tracker.update(step, `reward ${reward}, ${usable} teach, best NDCG@10 ${selection.best.toFixed(4)}`)
      stopped = hooks.stop?.(selection, step) ?? false
      if (selection.isDue(step) || stopped) yield* validate(step)
    }
    const { best: bestNdcg, bestRound: bestStep, start: startNdcg } = selection
    tracker.finish(`NDCG@10 ${startNdcg.toFixed(4)} before, best ${bestNdcg.toFixed(4)} after step ${bestStep}`, step)
    yield* selection.finish
    const { ndcg = bestNdcg, share = 1 } = (yield* trial.settle(bestStep)) ?? {}
    return { steps: step, startNdcg, bestNdcg: ndcg, bestStep, share }
  }
)

/** Provides the services of the loop around a rollout actor: rewards, reference and learner. */
export const around = <const Rewards extends Weighted, E, R>(
  grpo: GrpoConfig,
  rewards: Rewards,
  rollouts: Layer.Layer<RolloutActor, E, R>
) =>
  Layer.mergeAll(
    rollouts,
    RewardActor.layer(rewards, { normalise: grpo.normaliseRewards }),
    ReferenceModel.layer(grpo.reference),
    PolicyLearner.PolicyLearner.layer({
      objective: ObjectiveConfig.make(grpo.objective, grpo.beta),
      optimizer: Adam.adamW(grpo.optimizer),
      innerSteps: grpo.innerSteps,
      minibatches: grpo.minibatches,
      learningRate: (step) =>
        LearningRate.at(grpo.learningRate, step - 1, grpo.steps * PolicyLearner.stepsPerBatch(grpo))
    })
  ).pipe(Layer.provideMerge(PublishedWeights.layer))

/** Provides the services of the loop in this process, called directly. */
export const actors = <const Rewards extends Weighted>(
  grpo: GrpoConfig,
  rewards: Rewards,
  options: Rollouts.ActorOptions
) => around(grpo, rewards, Rollouts.layer(grpo, options))

/** Options of the program in code. */
export interface GrpoOptions {
  /** Policy family. @default the flat policy */
  readonly policy?: Policies.PolicyLayer | undefined
  /** Rewards with their weights. @default those of the settings */
  readonly rewards?: ReadonlyArray<WeightedReward<RewardError, Sids>> | undefined
  /** Cluster whose workers draw the rollouts. @default this process draws them */
  readonly at?: Cluster.Place | undefined
  /** Whether the groups of the next step are drawn during the update of a step. @default false */
  readonly ahead?: boolean | undefined
}

/**
 * Trains the supervised policy of the run by GRPO, or resumes. If SFT has found a better policy since, training
 * restarts from it; the old checkpoints are removed when the first new one is written.
 */
export const program = (options: GrpoOptions = {}) => Effect.scoped(improve(options))

const improve = Effect.fn("grpo")(function*(options: GrpoOptions) {
  const { run, settings } = yield* Workspace
  const { historyExcluded } = settings.evaluation
  const prepared = yield* Prepare.program()
  const { dataset, split } = prepared
  const { index } = yield* Tokenize.program()
  const teacher = yield* Effect.cached(Teachers.make(settings.grpo.teacher, prepared))
  const embeddings = Effect.map(Tokenize.embed(prepared), ({ matrix }) => matrix)
  /** Returns the rewards of the settings, with the weight of the collaborative reward multiplied by `factor`. */
  const weighted = (factor: number) =>
    Rewards.weighted<
      Effect.Error<typeof teacher> | Effect.Error<typeof embeddings>,
      Effect.Services<typeof teacher> | Effect.Services<typeof embeddings>
    >(Teachers.times(settings.grpo.rewards, factor), {
      teacher,
      counts: Effect.sync(() => Popularity.count(split.train, dataset.items.length)),
      embeddings
    })
  const named = options.rewards ?? weighted(1)
  if (areZero(named)) {
    yield* Output.note(
      named.length === 0
        ? "grpo.rewards: there are no rewards, so GRPO learns nothing"
        : "grpo.rewards: every weight is 0, so all candidates earn the same and GRPO learns nothing"
    )
  }
  if (options.rewards === undefined && isUnanswerable(settings.grpo)) {
    yield* Output.note(
      "grpo.rewards: unlabelled prompts have no answer to compare with, so GRPO learns nothing; " +
        "set grpo.prompts.positions to training, or add collaborative, popularity or diversity"
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
  const { promptsPerStep, rollout, steps, stepsPerValidation } = settings.grpo
  const data: GrpoData = {
    sequences: split.train,
    times: split.trainTimes,
    validation: split.validation,
    historyExcluded,
    origin: start.step
  }
  const asked = promptsOf(settings.grpo, options.rewards === undefined ? "named" : "others")
  const prompts = promptsFor(new GrpoConfig({ ...settings.grpo, prompts: asked }), data, settings.seed)
  const rollouts = RolloutPlace.layer(
    Rollouts.layer(settings.grpo, {
      historyExcluded,
      seed: settings.seed,
      teacher: Teachers.isNeeded(settings.grpo) ? yield* teacher : undefined
    }),
    {
      at: options.at,
      ahead: options.ahead !== true ? undefined : {
        prompts: (step) =>
          step > steps
            ? undefined
            : prompts.draw(step, promptsPerStep * rollout.overGeneration).slice(0, promptsPerStep),
        // Checkpoints are made at validations.
        resumable: (step) => step % stepsPerValidation === 0
      }
    }
  )
  return yield* Effect.gen(function*() {
    const before = yield* (yield* PolicyParameters).snapshot("average")
    const factor = options.rewards === undefined && Teachers.areWeighed(settings.grpo)
      ? yield* Teachers.weigh(yield* teacher, settings.grpo, data, settings.seed)
      : 1
    const rewards = options.rewards ?? weighted(factor)
    const grpo = new GrpoConfig({
      ...settings.grpo,
      prompts: asked,
      rewards: Teachers.times(settings.grpo.rewards, factor)
    })
    return yield* Effect.gen(function*() {
      const report = yield* train(grpo, data, settings.seed)
      yield* RewardTrace.record(prepared, { before, bestStep: report.bestStep, rewards })
      return report
    }).pipe(Effect.provide(around(grpo, rewards, rollouts)))
  }).pipe(
    Effect.provide(
      supervised.pipe(Layer.provideMerge(Policies.layer(options.policy ?? Policies.chosen, dataset, index)))
    )
  )
})
