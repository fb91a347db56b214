/**
 * Model selection of a training loop: validation schedule, best weights, early stopping, and checkpoints for resuming.
 *
 * Loops count rounds: epochs in supervised training, steps in GRPO. A checkpoint is written with every validation, so
 * an interrupted run continues from the last one with the same results as an undisturbed run.
 */
import * as Effect from "effect/Effect"
import { type AdamWConfig } from "../optimizer/AdamW.ts"
import { type SavedTensors } from "../optimizer/OptimizerSlots.ts"
import { type ParameterStore } from "../optimizer/ParameterStore.ts"
import { PolicyParameters } from "../policy/PolicyParameters.ts"
import { Checkpointer } from "../run/Checkpointer.ts"
import { type RunError } from "../run/RunError.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import * as CheckpointAverage from "./CheckpointAverage.ts"
import * as TrainingState from "./TrainingState.ts"

/** Options of a selection. */
export interface SelectionOptions {
  /** Kind of the checkpoints. */
  readonly kind: string
  /** Number of rounds requested. */
  readonly rounds: number
  /** Rounds between validations; the last round always ends with one. */
  readonly every: number
  /** Consecutive validations without a better score after which training stops. @default Infinity */
  readonly patience?: number | undefined
  readonly optimizer: AdamWConfig
  /**
   * Step of the other phase's checkpoint that this phase starts from; checkpoints that started from another step are
   * discarded and the phase restarts. @default no other phase
   */
  readonly origin?: number | undefined
  /** Further models whose states checkpoints keep. @default none */
  readonly companions?: TrainingState.Companions | undefined
  /** Number k of the best validations whose weights are kept for `average`; checkpoints keep them, too. @default 1 */
  readonly averaged?: number | undefined
}

/** Selection of one training loop; its numbers are updated by `observe`. */
export interface Selection {
  /** Steps done at the last checkpoint, 0 before the first. */
  readonly step: number
  /** Rounds done at the last checkpoint, 0 before the first. */
  readonly round: number
  /** Best score, -1 before the first. */
  readonly best: number
  /** Round of the best score. */
  readonly bestRound: number
  /** First score observed. */
  readonly start: number
  /** Whether `patience` validations in a row were without a better score. */
  readonly isExhausted: boolean
  /** Returns whether a round ends with a validation. */
  isDue(round: number): boolean
  /** Records a score and writes a checkpoint of the weights; returns whether the score is the best so far. */
  observe(score: number, at: { readonly step: number; readonly round: number }): Effect.Effect<
    boolean,
    RunError | TensorError
  >
  /**
   * Scores the mean of the weights of the k best validations and keeps it as the best, in a checkpoint of the last round,
   * if its score is better; training that is continued later goes on from the weights before. Returns the score; undefined
   * if fewer than two are kept.
   */
  average<E, R>(score: Effect.Effect<number, E, R>): Effect.Effect<number | undefined, E | RunError | TensorError, R>
  /** Loads the weights of the best score. */
  readonly finish: Effect.Effect<void, RunError | TensorError>
}

/** Starts a phase after another one: the weights are set to the previous phase's evaluation weights, at version 0. */
const begin = Effect.fnUntraced(function*(store: ParameterStore) {
  if ((yield* store.version) === 0) return
  const weights = TrainingState.evaluationWeights(yield* store.save)
  yield* store.restore({ version: 0, weights, average: new Map(), slots: new Map() })
})

/** Resumes from the latest checkpoint of the kind, or starts from the parameters' current evaluation weights. */
export const open: (
  options: SelectionOptions
) => Effect.Effect<Selection, RunError | TensorError, PolicyParameters | Checkpointer> = Effect.fn("Selection.open")(
  function*({ averaged = 1, companions: others, every, kind, optimizer, origin, patience = Infinity, rounds }) {
    const store = yield* PolicyParameters
    const checkpointer = yield* Checkpointer
    const best = CheckpointAverage.make(store, averaged)
    const companions = { ...others, ...best.companions }
    const save = (isBest: boolean, instead?: SavedTensors) =>
      TrainingState.save(store, kind, state, isBest, companions, instead).pipe(
        Effect.provideService(Checkpointer, checkpointer)
      )
    let state = yield* TrainingState.resume(store, kind, optimizer, origin, companions)
    if (state.step === 0) yield* begin(store)
    // Training that had stopped early continues when more rounds are requested than before.
    if (state.asked > 0 && rounds > state.asked) state = { ...state, sinceBest: 0 }
    const selection: Selection = {
      get step() {
        return state.step
      },
      get round() {
        return state.epoch
      },
      get best() {
        return state.best
      },
      get bestRound() {
        return state.bestEpoch
      },
      get start() {
        return state.start
      },
      get isExhausted() {
        return state.sinceBest >= patience
      },
      isDue: (round) => round % every === 0 || round === rounds,
      observe: Effect.fn("Selection.observe")(function*(score, { round, step }) {
        const improved = score > state.best
        state = {
          ...state,
          step,
          epoch: round,
          asked: rounds,
          start: state.start < 0 ? score : state.start,
          ...(improved ? { best: score, bestEpoch: round, sinceBest: 0 } : { sinceBest: state.sinceBest + 1 })
        }
        yield* best.offer(score)
        yield* save(improved)
        return improved
      }),
      average: Effect.fnUntraced(function*(measure) {
        const mean = best.mean()
        if (mean === undefined) return undefined
        const trained = yield* store.save
        const weights = new Map([...trained.weights, ...mean])
        const score = yield* store.restore({ ...trained, weights, average: new Map(), slots: new Map() }).pipe(
          Effect.andThen(measure)
        )
        yield* store.restore(trained)
        if (score > state.best) {
          state = { ...state, best: score, bestEpoch: state.epoch }
          yield* save(true, mean)
        }
        return score
      }),
      finish: Effect.asVoid(TrainingState.loadBest(store, checkpointer, kind, optimizer))
    }
    return selection
  }
)
