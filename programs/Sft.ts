/**
 * Supervised fine-tuning as a recipe: the training loop, and its application to a run.
 *
 * Every random draw is a function of (seed, epoch) or (seed, step), so a resumed run equals an uninterrupted one. If
 * more epochs are requested later, training continues from the last checkpoint with the learning rate of the longer
 * schedule; the result then differs from that of requesting all epochs at once.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { type Example } from "../src/catalog/Split.ts"
import * as PolicyRanking from "../src/evaluation/PolicyRanking.ts"
import * as Adam from "../src/optimizer/Adam.ts"
import * as LearningRate from "../src/optimizer/LearningRate.ts"
import type * as Optimizer from "../src/optimizer/Optimizer.ts"
import { PolicyModel, type SupervisedBatch } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as Prompt from "../src/policy/Prompt.ts"
import { Progress } from "../src/run/Progress.ts"
import { RunLog } from "../src/run/RunLog.ts"
import * as Augmentation from "../src/sft/Augmentation.ts"
import { kind, type SftConfig, tokens } from "../src/sft/Sft.ts"
import { type SidIndex } from "../src/sid/SidIndex.ts"
import * as Random from "../src/statistics/Random.ts"
import * as Show from "../src/task/Show.ts"
import { NonFinite, TensorError } from "../src/tensor/TensorError.ts"
import * as Selection from "../src/training/Selection.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Base from "./Base.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as TextTasks from "./TextTasks.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Data of supervised training. */
export interface SftData<E = never> {
  /** Item numbers of each training user, oldest first. */
  readonly sequences: ReadonlyArray<Int32Array>
  /** Times of the events of `sequences`, in ms since 1970. @default none */
  readonly times?: ReadonlyArray<Float64Array> | undefined
  /** Validation examples, from which the validation users are drawn. */
  readonly validation: ReadonlyArray<Example>
  /** Whether validation excludes items of the history from every list, as the evaluation does. */
  readonly historyExcluded: boolean
  /** Function that returns the examples of an epoch, from 0. @default every position of every sequence */
  readonly examples?: ((epoch: number) => Effect.Effect<ReadonlyArray<Prompt.TrainingExample>, E>) | undefined
}

/** Report of one optimizer step. */
export interface SftStep {
  /** Number of the step over all epochs, from 1. */
  readonly step: number
  /** Number of the epoch, from 0. */
  readonly epoch: number
  /** Mean cross-entropy per target position, in nats. */
  readonly loss: number
  readonly learningRate: number
  /** L2 norm of the gradient before clipping. */
  readonly gradientNorm: number
}

/** Hooks of the loop for programs in code. */
export interface SftHooks<E = never, R = never> {
  /** Function called after every step; a failure ends the training. @default none */
  readonly onStep?: ((step: SftStep) => Effect.Effect<void, E, R>) | undefined
  /** Function called after every epoch; true validates and ends the training at this epoch. @default never */
  readonly stop?: ((selection: Selection.Selection, epoch: number) => boolean) | undefined
  /** Optimizer. @default AdamW with the settings of the configuration */
  readonly optimizer?: Optimizer.Optimizer | undefined
}

/** Makes the plans of the policy of the context for the examples of an epoch: as they are, and augmented. */
export const plans = Effect.fnUntraced(function*<X>(
  { augmentation }: Pick<SftConfig, "augmentation">,
  { examples, sequences, times }: Pick<SftData<X>, "examples" | "sequences" | "times">,
  seed: number
) {
  const { plan } = yield* PolicyModel
  const positions = sequences.map((items, user) => Prompt.everyPosition({ user, items, times: times?.[user] }))
  const at = examples ?? (() => Effect.succeed(positions))
  return {
    plain: (epoch: number) => Effect.flatMap(at(epoch), (all) => plan(all, seed, epoch)),
    augmented: (epoch: number) =>
      Effect.flatMap(at(epoch), (all) => plan(Augmentation.apply(augmentation, all, seed, epoch), seed, epoch))
  }
})

/**
 * Makes the optimizer step of the policy of the context: it learns a batch and returns the mean loss in nats per target
 * and the norm of the gradient; fails with `NonFinite` where the loss is not finite.
 */
export const learning = Effect.fnUntraced(function*(optimizer: Optimizer.Optimizer, seed: number) {
  const policy = yield* PolicyModel
  const store = yield* PolicyParameters
  const gradient = yield* policy.supervised
  return Effect.fnUntraced(function*(batch: SupervisedBatch, step: number, learningRate: number) {
    const { loss } = yield* gradient.accumulate(store, [{ batch }], { seed, step })
    if (!Number.isFinite(loss)) {
      return yield* new TensorError({ reason: new NonFinite({ tensor: "loss", step, value: String(loss) }) })
    }
    const { gradientNorm } = yield* store.apply(optimizer, learningRate)
    yield* Metric.update(tokens, batch.targets)
    return { loss, gradientNorm }
  })
})

/** Trains the policy of the context; afterwards its parameters are those of the best validation. */
export const train = Effect.fn("Sft.train")(
  function*<E = never, R = never, X = never>(
    config: SftConfig,
    data: SftData<X>,
    seed: number,
    hooks: SftHooks<E, R> = {}
  ) {
    const policy = yield* PolicyModel
    const store = yield* PolicyParameters
    const log = yield* RunLog
    const progress = yield* Progress
    const learn = yield* learning(hooks.optimizer ?? Adam.adamW(config.optimizer), seed)
    const plan = yield* plans(config, data, seed)
    const users = TrainingState.sample(data.validation, config.validationUsers, seed)
    const ranking = { beams: config.validationBeams, historyExcluded: data.historyExcluded }
    const steps = config.epochs * (yield* plan.plain(0)).length

    const selection = yield* Selection.open({
      kind,
      rounds: config.epochs,
      every: config.epochsPerValidation,
      patience: config.patience,
      optimizer: config.optimizer,
      averaged: config.averagedCheckpoints
    })
    const validate = Effect.gen(function*() {
      const validating = progress.part("sft validation", users.length, "users")
      const ranked = yield* Effect.scoped(
        Effect.flatMap(
          store.evaluation,
          (weights) => PolicyRanking.rankAll(users, weights, { ...ranking, progress: validating.update })
        )
      ).pipe(Effect.ensuring(Effect.sync(() => validating.finish())))
      return PolicyRanking.meanNdcg(ranked, 10)
    })
    let [step, epoch, stopped] = [selection.step, selection.round, false]
    const tracker = progress.start("sft", steps, "steps", step)
    while (epoch < config.epochs && !selection.isExhausted && !stopped) {
      const batches = yield* plan.augmented(epoch)
      let lossSum = 0
      for (const [i, batch] of batches.entries()) {
        const learningRate = LearningRate.at(config.learningRate, step, steps)
        const { gradientNorm, loss } = yield* learn(batch, step, learningRate)
        step++
        lossSum += loss
        if (step % 10 === 0 || i === batches.length - 1) {
          yield* log.append({ kind: "sft.step", step, fields: { epoch, loss, learningRate, gradientNorm } })
        }
        yield* hooks.onStep?.({ step, epoch, loss, learningRate, gradientNorm }) ?? Effect.void
        const best = selection.best < 0 ? "-" : selection.best.toFixed(4)
        const mean = (lossSum / (i + 1)).toFixed(3)
        tracker.update(step, `epoch ${epoch + 1}/${config.epochs}, loss ${mean}, best NDCG@10 ${best}`)
      }
      epoch++
      stopped = hooks.stop?.(selection, epoch) ?? false
      if (selection.isDue(epoch) || stopped) {
        const ndcg = yield* validate
        yield* log.append({
          kind: "sft.validation",
          step,
          fields: { epoch, loss: lossSum / batches.length, "NDCG@10": ndcg }
        })
        yield* selection.observe(ndcg, { step, round: epoch })
      }
    }
    const averaged = yield* selection.average(validate)
    if (averaged !== undefined) {
      yield* log.append({ kind: "sft.average", step, fields: { epoch, "NDCG@10": averaged } })
    }
    tracker.finish(`best NDCG@10 ${selection.best.toFixed(4)} after epoch ${selection.bestRound}`, step)
    yield* selection.finish
    const { slots } = store.buffer
    const sizeOf = (some: typeof slots) => some.reduce((sum, { size }) => sum + size, 0)
    return {
      family: policy.family,
      parameters: sizeOf(slots),
      trained: sizeOf(slots.filter(({ trainable }) => trainable)),
      steps: step,
      epochs: epoch,
      bestEpoch: selection.bestRound,
      bestNdcg: selection.best,
      stoppedEarly: epoch < config.epochs
    }
  },
  Effect.scoped
)

/**
 * Returns `count` training examples of the run, drawn by its seed, as spans with and without a loss. Nothing is trained;
 * data and SIDs are prepared where the run lacks them.
 */
export const show = Effect.fn("Sft.show")(function*(count: number) {
  const { settings } = yield* Workspace
  const prepared = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const text = yield* TextTasks.open(prepared, index)
  if (text !== undefined) return yield* text.show(count)
  const { split } = prepared
  const users = Array.from(Random.permutation(split.train.length, settings.seed, 0))
    .filter((user) => split.train[user]!.length > 0).slice(0, count)
  return users.map((user): TextTasks.Shown => ({
    task: "history",
    user,
    spans: Show.ofItems(index, split.train[user]!.subarray(-settings.policy.historyItems))
  }))
})

/** Returns the data from which the policy of the run learns. */
export const dataOf = Effect.fn("Sft.dataOf")(function*(prepared: Prepare.Prepared, index: SidIndex) {
  const { settings } = yield* Workspace
  const { split } = prepared
  const text = yield* TextTasks.open(prepared, index)
  return {
    sequences: split.train,
    times: split.trainTimes,
    validation: split.validation,
    historyExcluded: settings.evaluation.historyExcluded,
    examples: text?.examples
  }
})

/** Trains the policy of the run, or resumes. */
export const program = Effect.fn("sft")(function*(policy: Policies.PolicyLayer = Policies.chosen) {
  const { settings } = yield* Workspace
  const prepared = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const data = yield* dataOf(prepared, index)
  return yield* Base.load(index).pipe(
    Effect.andThen(train(settings.sft, data, settings.seed)),
    Effect.provide(Policies.layer(policy, prepared.dataset, index))
  )
})
