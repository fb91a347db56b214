/**
 * Supervised fine-tuning as a recipe: the loop, and the run that it is given.
 *
 * Everything random is a function of (seed, epoch) or (seed, step), so a run that was stopped goes on as if it had not
 * been. One that is asked for more epochs than before goes on from its last checkpoint with the learning rate that the
 * longer schedule has there, which is not the run that would have come of asking for them at once.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { type Example } from "../src/catalog/Split.ts"
import * as PolicyRanking from "../src/evaluation/PolicyRanking.ts"
import * as Adam from "../src/optimizer/Adam.ts"
import * as LearningRate from "../src/optimizer/LearningRate.ts"
import type * as Optimizer from "../src/optimizer/Optimizer.ts"
import { PolicyModel } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as Prompt from "../src/policy/Prompt.ts"
import { Progress } from "../src/run/Progress.ts"
import { RunLog } from "../src/run/RunLog.ts"
import { kind, type SftConfig, tokens } from "../src/sft/Sft.ts"
import { NonFinite, TensorError } from "../src/tensor/TensorError.ts"
import * as Selection from "../src/training/Selection.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** What training needs of the data. */
export interface SftData {
  readonly sequences: ReadonlyArray<Int32Array>
  /** Times of the events of `sequences`, in ms since 1970, where the data have them. */
  readonly times?: ReadonlyArray<Float64Array> | undefined
  readonly validation: ReadonlyArray<Example>
  /** Whether validation leaves the history out of every list, as the evaluation does. */
  readonly historyExcluded: boolean
}

/** A step that was applied. */
export interface SftStep {
  readonly step: number
  readonly epoch: number
  readonly loss: number
  readonly learningRate: number
  readonly gradientNorm: number
}

/** Choices of a loop in code. */
export interface SftHooks<E = never, R = never> {
  /** Called after every step; a failure ends the training. */
  readonly onStep?: ((step: SftStep) => Effect.Effect<void, E, R>) | undefined
  /** Asked after every epoch: true validates and ends the training there. */
  readonly stop?: ((selection: Selection.Selection, epoch: number) => boolean) | undefined
  /** An optimizer instead of AdamW with the settings of the configuration. */
  readonly optimizer?: Optimizer.Optimizer | undefined
}

/** Trains the policy of the context; afterwards its parameters are those of the best validation. */
export const train = Effect.fn("Sft.train")(
  function*<E = never, R = never>(config: SftConfig, data: SftData, seed: number, hooks: SftHooks<E, R> = {}) {
    const policy = yield* PolicyModel
    const store = yield* PolicyParameters
    const log = yield* RunLog
    const progress = yield* Progress
    const gradient = yield* policy.supervised
    const optimizer = hooks.optimizer ?? Adam.adamW(config.optimizer)
    const examples = data.sequences.map((items, user) =>
      Prompt.everyPosition({ user, items, times: data.times?.[user] })
    )
    const users = TrainingState.sample(data.validation, config.validationUsers, seed)
    const ranking = { beams: config.validationBeams, historyExcluded: data.historyExcluded }
    const steps = config.epochs * (yield* policy.plan(examples, seed, 0)).length

    const selection = yield* Selection.open({
      kind,
      rounds: config.epochs,
      every: config.epochsPerValidation,
      patience: config.patience,
      optimizer: config.optimizer
    })
    let [step, epoch, stopped] = [selection.step, selection.round, false]
    const tracker = progress.start("sft", steps, "steps", step)
    while (epoch < config.epochs && !selection.isExhausted && !stopped) {
      const batches = yield* policy.plan(examples, seed, epoch)
      let lossSum = 0
      for (const [i, batch] of batches.entries()) {
        const { loss } = yield* gradient.accumulate(store, [{ batch }], { seed, step })
        if (!Number.isFinite(loss)) {
          return yield* new TensorError({ reason: new NonFinite({ tensor: "loss", step, value: String(loss) }) })
        }
        const learningRate = LearningRate.at(config.learningRate, step, steps)
        const { gradientNorm } = yield* store.apply(optimizer, learningRate)
        step++
        lossSum += loss
        if (step % 10 === 0 || i === batches.length - 1) {
          yield* log.append({ kind: "sft.step", step, fields: { epoch, loss, learningRate, gradientNorm } })
        }
        yield* hooks.onStep?.({ step, epoch, loss, learningRate, gradientNorm }) ?? Effect.void
        const best = selection.best < 0 ? "-" : selection.best.toFixed(4)
        const mean = (lossSum / (i + 1)).toFixed(3)
        yield* Metric.update(tokens, batch.targets)
        tracker.update(step, `epoch ${epoch + 1}/${config.epochs}, loss ${mean}, best NDCG@10 ${best}`)
      }
      epoch++
      stopped = hooks.stop?.(selection, epoch) ?? false
      if (selection.isDue(epoch) || stopped) {
        const ranked = yield* Effect.scoped(
          Effect.flatMap(store.evaluation, (weights) => PolicyRanking.rankAll(users, weights, ranking))
        )
        const ndcg = PolicyRanking.meanNdcg(ranked, 10)
        yield* log.append({
          kind: "sft.validation",
          step,
          fields: { epoch, loss: lossSum / batches.length, "NDCG@10": ndcg }
        })
        yield* selection.observe(ndcg, { step, round: epoch })
      }
    }
    tracker.finish(`best NDCG@10 ${selection.best.toFixed(4)} after epoch ${selection.bestRound}`, step)
    yield* selection.finish
    return {
      steps: step,
      epochs: epoch,
      bestEpoch: selection.bestRound,
      bestNdcg: selection.best,
      stoppedEarly: epoch < config.epochs
    }
  },
  Effect.scoped
)

/** Trains the policy of the run, or goes on where it stopped. */
export const program = Effect.fn("sft")(function*(policy: Policies.PolicyLayer = Policies.flat) {
  const { settings } = yield* Workspace
  const { dataset, split } = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const { historyExcluded } = settings.evaluation
  return yield* train(
    settings.sft,
    { sequences: split.train, times: split.trainTimes, validation: split.validation, historyExcluded },
    settings.seed
  ).pipe(Effect.provide(Policies.layer(policy, dataset, index)))
})
