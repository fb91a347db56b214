/**
 * Control of GRPO: supervised training that goes on from the best policy of SFT for as many seconds as GRPO trained.
 *
 * What GRPO claims to gain by its rewards might be gained by more training alone. The control has what GRPO has: the
 * same start, with empty moments of the optimizer; the same seconds of training, validation apart; as many validations,
 * on the same users with the same beams; the start where nothing is better; the same mixtures with it. It learns
 * from the examples of SFT with its optimizer, at the learning rate with which its schedule ends, constant after a short
 * warm-up.
 *
 * Every random draw is a function of (seed, epoch) or (seed, step), but the number of steps depends on the machine.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type GrpoConfig, kind as group } from "../src/grpo/Grpo.ts"
import * as Validation from "../src/grpo/monitoring/Validation.ts"
import * as Adam from "../src/optimizer/Adam.ts"
import * as LearningRate from "../src/optimizer/LearningRate.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as StepSeries from "../src/report/StepSeries.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { Progress } from "../src/run/Progress.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import { type RunEvent, RunLog } from "../src/run/RunLog.ts"
import { continued as kind, kind as supervised, type SftConfig } from "../src/sft/Sft.ts"
import * as Selection from "../src/training/Selection.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as RunSettings from "./RunSettings.ts"
import { SettingsError } from "./SettingsError.ts"
import * as Sft from "./Sft.ts"
import * as Tokenize from "./Tokenize.ts"
import * as Trial from "./Trial.ts"
import { Workspace } from "./Workspace.ts"

/** Steps of the warm-up. */
const warmupSteps = 10

/** Least learning rate, as a share of the peak of SFT. */
const leastShare = 0.05

/** Returns the learning rate of a step, from 0: that at the end of the schedule of SFT, or 5 % of its peak if more. */
export const rateAt = ({ learningRate }: Pick<SftConfig, "learningRate">, step: number): number => {
  const last = Math.max(LearningRate.at(learningRate, 1, 1), leastShare * learningRate.peak)
  return last * Math.min(1, (step + 1) / warmupSteps)
}

/** Returns the seconds that GRPO trained until a step, validations apart, by the log of its run. */
export const secondsOf = (events: ReadonlyArray<RunEvent>, step: number): number =>
  StepSeries.current(events, `${group}.step`).filter((event) => event.step <= step)
    .flatMap(({ fields }) => Object.entries(fields))
    .reduce(
      (sum, [name, value]) =>
        name.startsWith("seconds.") && name !== "seconds.validation" && typeof value === "number" ? sum + value : sum,
      0
    )

/** Length and choice of the control. */
export interface ControlConfig
  extends
    Pick<GrpoConfig, "mixtures" | "validationBeams" | "validationUsers">,
    Pick<SftConfig, "augmentation" | "learningRate" | "optimizer">
{
  /** Seconds of training, above 0. */
  readonly seconds: number
  /** Number of validations after the first, evenly spaced in the seconds. */
  readonly validations: number
  /** Epochs of SFT, which the control follows in the order of its examples. */
  readonly epochs: number
  /** Step of the supervised checkpoint of the start. */
  readonly origin: number
}

/**
 * Trains the policy of the context, which must be the best one of SFT, or resumes; afterwards its parameters are those
 * of the best validation, or their mixture with those of the start.
 */
export const train = Effect.fn("Control.train")(
  function*<X>(config: ControlConfig, data: Sft.SftData<X>, seed: number) {
    const { epochs, optimizer, origin, seconds, validations } = config
    const log = yield* RunLog
    const progress = yield* Progress
    const checkpointer = yield* Checkpointer
    const learn = yield* Sft.learning(Adam.adamW(optimizer), seed)
    const { augmented: plan } = yield* Sft.plans(config, data, seed)
    const trial = yield* Trial.make(kind, config, { ...data, origin }, seed)
    // Rounds are seconds.
    const selection = yield* Selection.open({ kind, rounds: seconds, every: seconds, optimizer, origin })
    const validate = Effect.fnUntraced(function*(step: number, round: number) {
      const validation = step === 0 ? trial.before : yield* trial.measure
      yield* log.append(Validation.event(kind, step, validation))
      yield* selection.observe(validation.ndcg, { step, round })
    })
    if (selection.step === 0) yield* validate(0, 0)

    const every = seconds / validations
    const dueAfter = (spent: number) => Math.min(seconds, every * (1 + Math.floor(spent / every)))
    let [step, spent, epoch, at] = [selection.step, selection.round, epochs, selection.step]
    let due = dueAfter(spent)
    let batches = yield* plan(epoch)
    const tracker = progress.start(kind, Math.ceil(seconds), "seconds", Math.min(spent, seconds))
    while (spent < seconds) {
      const began = yield* Clock.currentTimeNanos
      while (at >= batches.length) {
        at -= batches.length
        batches = yield* plan(++epoch)
      }
      const learningRate = rateAt(config, step)
      // SFT has drawn what belongs to the steps before.
      const { gradientNorm, loss } = yield* learn(batches[at++]!, origin + step, learningRate)
      step++
      spent += Number((yield* Clock.currentTimeNanos) - began) / 1e9
      if (step % 10 === 0 || spent >= due) {
        yield* log.append({ kind: `${kind}.step`, step, fields: { loss, learningRate, gradientNorm, seconds: spent } })
      }
      const best = selection.best.toFixed(4)
      tracker.update(Math.min(spent, seconds), `step ${step}, loss ${loss.toFixed(3)}, best NDCG@10 ${best}`)
      if (spent < due) continue
      yield* validate(step, spent)
      due = dueAfter(spent)
    }
    const { best: bestNdcg, start: startNdcg } = selection
    yield* selection.finish
    const bestStep = (yield* checkpointer.best(kind))?.step ?? 0
    tracker.finish(`NDCG@10 ${startNdcg.toFixed(4)} before, best ${bestNdcg.toFixed(4)} after step ${bestStep}`)
    const { ndcg = bestNdcg, share = 1 } = (yield* trial.settle(bestStep)) ?? {}
    return { steps: step, seconds: spent, startNdcg, bestNdcg: ndcg, bestStep, share }
  },
  Effect.scoped
)

/** Options of the program. */
export interface ControlOptions {
  /** Seconds of training. @default those of the run's GRPO */
  readonly seconds?: number | undefined
  /** Policy family. @default that of the settings */
  readonly policy?: Policies.PolicyLayer | undefined
}

/**
 * Trains the control of the run, or resumes; with more seconds than before it goes on. If SFT has found a better policy
 * since, it restarts from it. Fails with `NoCheckpoint` without a supervised policy, and without GRPO unless `seconds`
 * are given.
 */
export const program = Effect.fn("control")(function*({ policy = Policies.chosen, seconds }: ControlOptions = {}) {
  const { run, settings } = yield* Workspace
  const prepared = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const missing = (phase: string) => new RunError({ reason: new NoCheckpoint({ path: run, kind: phase }) })
  const start = yield* (yield* Checkpointer).best(supervised)
  if (start === undefined) return yield* missing(supervised)
  const done = (yield* RunSettings.madeBy(run)).grpo.latest?.step ?? 0
  if (seconds === undefined && done === 0) return yield* missing(group)
  const wanted = seconds ?? secondsOf((yield* (yield* RunLog).read).events, done)
  if (wanted <= 0) {
    const problem = `seconds: Expected --seconds, because the log of ${run} has no steps of GRPO`
    return yield* new SettingsError({ source: "the command line", problems: [problem] })
  }
  const { mixtures, steps, stepsPerValidation, validationBeams, validationUsers } = settings.grpo
  const config: ControlConfig = {
    augmentation: settings.sft.augmentation,
    epochs: settings.sft.epochs,
    learningRate: settings.sft.learningRate,
    optimizer: settings.sft.optimizer,
    mixtures,
    validationBeams,
    validationUsers,
    seconds: wanted,
    validations: Math.ceil((done === 0 ? steps : done) / stepsPerValidation),
    origin: start.step
  }
  const begun = Layer.effectDiscard(
    Effect.flatMap(PolicyParameters, (store) => TrainingState.begin(store, start, settings.sft.optimizer))
  )
  return yield* train(config, yield* Sft.dataOf(prepared, index), settings.seed).pipe(
    Effect.provide(begun.pipe(Layer.provideMerge(Policies.layer(policy, prepared.dataset, index))))
  )
})
