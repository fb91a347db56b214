/**
 * Model selection of a training loop: validation schedule, best weights, early stopping, and checkpoints for resuming.
 *
 * Loops count rounds: epochs in supervised training, steps in GRPO. A checkpoint is written with every validation, so
 * an interrupted run continues from the last one with the same results as an undisturbed run.
 */
import * as Effect from "effect/Effect"
import { type AdamWConfig } from "../optimizer/AdamW.ts"
import { type ParameterStore } from "../optimizer/ParameterStore.ts"
import { PolicyParameters } from "../policy/PolicyParameters.ts"
import { Checkpointer } from "../run/Checkpointer.ts"
import { type RunError } from "../run/RunError.ts"
import { type TensorError } from "../tensor/TensorError.ts"
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
  /** Loads the weights of the best score. */
  readonly finish: Effect.Effect<void, RunError | TensorError>
}

/** Starts a phase after another one: the weights are set to the previous phase's evaluation weights, at version 0. */
const begin = Effect.fnUntraced(function*(store: ParameterStore) {
  if ((yield* store.version) === 0) return
  const { average, weights } = yield* store.save
  yield* store.restore({ version: 0, weights: new Map([...weights, ...average]), average: new Map(), slots: new Map() })
})

/** Resumes from the latest checkpoint of the kind, or starts from the parameters' current evaluation weights. */
export const open: (
  options: SelectionOptions
) => Effect.Effect<Selection, RunError | TensorError, PolicyParameters | Checkpointer> = Effect.fn("Selection.open")(
  function*({ companions, every, kind, optimizer, origin, patience = Infinity, rounds }) {
    const store = yield* PolicyParameters
    const checkpointer = yield* Checkpointer
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
        yield* TrainingState.save(store, kind, state, improved, companions).pipe(
          Effect.provideService(Checkpointer, checkpointer)
        )
        return improved
      }),
      finish: Effect.asVoid(TrainingState.loadBest(store, checkpointer, kind, optimizer))
    }
    return selection
  }
)
