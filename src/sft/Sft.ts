/**
 * Supervised fine-tuning: next-code prediction on whole sequences, with validation, best checkpoint and early stop.
 *
 * Everything random is a function of (seed, epoch) or (seed, step), and a checkpoint holds weights, moving average and
 * both moments, so a run that was stopped goes on as if it had not been. One that is asked for more epochs than before
 * goes on from its last checkpoint with the learning rate that the longer schedule has there, which is not the run that
 * would have come of asking for them at once.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Example } from "../catalog/Split.ts"
import * as PolicyRanking from "../evaluation/PolicyRanking.ts"
import * as Adam from "../optimizer/Adam.ts"
import * as AdamW from "../optimizer/AdamW.ts"
import * as LearningRate from "../optimizer/LearningRate.ts"
import { PolicyModel } from "../policy/PolicyModel.ts"
import { Checkpointer } from "../run/Checkpointer.ts"
import { Progress } from "../run/Progress.ts"
import { type RunError } from "../run/RunError.ts"
import { RunLog } from "../run/RunLog.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"
import * as TrainingState from "../training/TrainingState.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings of a supervised run. */
export class SftConfig extends Schema.Class<SftConfig>("sidereal/sft/SftConfig")({
  /** Most passes over the data. @default 16 */
  epochs: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(16))),
  /** Validations without a better NDCG@10 before training stops. @default 2 */
  patience: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
  /** Passes between validations. @default 2 */
  epochsPerValidation: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
  /** Users drawn for validation, the same ones every time. @default 1000 */
  validationUsers: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1000))),
  /** Beams in validation. @default 20 */
  validationBeams: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(20))),
  learningRate: LearningRate.LearningRateConfig.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({}))
  ),
  optimizer: AdamW.AdamWConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
}) {}

/** What training needs of the data. */
export interface SftData {
  readonly sequences: ReadonlyArray<Int32Array>
  readonly validation: ReadonlyArray<Example>
  /** Whether validation leaves the history out of every list, as the evaluation does. */
  readonly historyExcluded: boolean
}

/** What came of it. */
export interface SftReport {
  readonly steps: number
  readonly epochs: number
  readonly bestEpoch: number
  readonly bestNdcg: number
  readonly stoppedEarly: boolean
}

/** Marks the checkpoints of this phase. */
export const kind = "sft"

/** Trains the policy of the context; afterwards its weights and average are those of the best validation. */
export const train: (
  config: SftConfig,
  data: SftData,
  seed: number
) => Effect.Effect<SftReport, TensorError | RunError, PolicyModel | Checkpointer | RunLog | Progress> = Effect.fn(
  "Sft.train"
)(function*(config, data, seed) {
  const policy = yield* PolicyModel
  const checkpointer = yield* Checkpointer
  const log = yield* RunLog
  const progress = yield* Progress
  const { parameters } = policy
  const optimizer = Adam.adamW(config.optimizer)
  const validation = TrainingState.sample(data.validation, config.validationUsers, seed)

  const state = yield* TrainingState.resume(parameters, kind, config.optimizer)
  let { best, bestEpoch, epoch, step } = state
  // Training that had stopped early goes on when more epochs are asked for than then.
  let sinceBest = state.asked > 0 && config.epochs > state.asked ? 0 : state.sinceBest
  const perEpoch = policy.plan(data.sequences, seed, 0).length
  const total = perEpoch * config.epochs
  const tracker = progress.start("sft", total, "steps", step)
  while (epoch < config.epochs && sinceBest < config.patience) {
    let lossSum = 0
    const batches = policy.plan(data.sequences, seed, epoch)
    for (const [i, batch] of batches.entries()) {
      const learningRate = LearningRate.at(config.learningRate, step, total)
      const loss = yield* policy.supervise(batch, seed, step)
      if (!Number.isFinite(loss)) {
        return yield* new TensorError({ reason: new NonFinite({ tensor: "loss", step, value: String(loss) }) })
      }
      const report = yield* parameters.apply(optimizer, learningRate)
      step++
      lossSum += loss
      if (step % 10 === 0 || i === batches.length - 1) {
        yield* log.append({
          kind: "sft.step",
          step,
          fields: { epoch, loss, learningRate, gradientNorm: report.gradientNorm }
        })
      }
      tracker.update(
        step,
        `epoch ${epoch + 1}/${config.epochs}, loss ${(lossSum / (i + 1)).toFixed(3)}, best NDCG@10 ${
          best < 0 ? "-" : best.toFixed(4)
        }`
      )
    }
    epoch++
    if (epoch % config.epochsPerValidation === 0 || epoch === config.epochs) {
      const ranked = yield* parameters.evaluation.pipe(
        Effect.flatMap(({ feeds }) =>
          PolicyRanking.rankAll(validation, feeds, {
            beams: config.validationBeams,
            batch: 32,
            historyExcluded: data.historyExcluded
          })
        ),
        Effect.scoped
      )
      const ndcg = PolicyRanking.meanNdcg(ranked, 10)
      yield* log.append({
        kind: "sft.validation",
        step,
        fields: { epoch, loss: lossSum / batches.length, "NDCG@10": ndcg }
      })
      const improved = ndcg > best
      if (improved) {
        best = ndcg
        bestEpoch = epoch
        sinceBest = 0
      } else sinceBest++
      yield* TrainingState.save(
        parameters,
        kind,
        { ...state, best, bestEpoch, epoch, sinceBest, step, asked: config.epochs },
        improved
      )
    }
  }
  tracker.finish(`best NDCG@10 ${best.toFixed(4)} after epoch ${bestEpoch}`, step)
  yield* TrainingState.loadBest(parameters, checkpointer, kind, config.optimizer)
  return { steps: step, epochs: epoch, bestEpoch, bestNdcg: best, stoppedEarly: epoch < config.epochs }
})
