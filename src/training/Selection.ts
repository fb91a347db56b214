/**
 * Which weights a training loop ends with: validations when they are due, the best one kept, patience, and checkpoints to
 * go on from.
 *
 * Loops count rounds: epochs of supervised training, steps of GRPO. A checkpoint is written with every validation, so a run
 * that was stopped goes on from the last one as if it had not been.
 */
import * as Effect from "effect/Effect"
import { type AdamWConfig } from "../optimizer/AdamW.ts"
import { type ParameterStore } from "../optimizer/ParameterStore.ts"
import { PolicyParameters } from "../policy/PolicyParameters.ts"
import { Checkpointer } from "../run/Checkpointer.ts"
import { type RunError } from "../run/RunError.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import * as TrainingState from "./TrainingState.ts"

/** What is selected, and how often. */
export interface SelectionOptions {
  /** Marks the checkpoints. */
  readonly kind: string
  /** Rounds asked for. */
  readonly rounds: number
  /** Rounds between validations; the last round always has one. */
  readonly every: number
  /** Validations without a better score before training stops. @default Infinity */
  readonly patience?: number | undefined
  readonly optimizer: AdamWConfig
  /** The step of the checkpoint of another phase that this one begins from; from another one it begins anew. */
  readonly origin?: number | undefined
  /** What checkpoints keep beside the policy. */
  readonly companions?: TrainingState.Companions | undefined
}

/** The selection of one training loop; its numbers change with every observation. */
export interface Selection {
  /** Steps done at the last checkpoint, 0 at the beginning. */
  readonly step: number
  /** Rounds done at the last checkpoint. */
  readonly round: number
  /** The best score, -1 before the first. */
  readonly best: number
  /** The round of the best score. */
  readonly bestRound: number
  /** The first score that was observed. */
  readonly start: number
  /** Whether patience is used up. */
  readonly isExhausted: boolean
  /** Returns whether a round ends with a validation. */
  isDue(round: number): boolean
  /** Keeps a score with the weights that earned it; returns whether it is the best. */
  observe(score: number, at: { readonly step: number; readonly round: number }): Effect.Effect<
    boolean,
    RunError | TensorError
  >
  /** Loads the weights of the best score. */
  readonly finish: Effect.Effect<void, RunError | TensorError>
}

/** Begins a phase where another one has trained: the weights that it is evaluated with, before any step. */
const begin = Effect.fnUntraced(function*(store: ParameterStore) {
  if ((yield* store.version) === 0) return
  const { average, weights } = yield* store.save
  yield* store.restore({ version: 0, weights: new Map([...weights, ...average]), average: new Map(), slots: new Map() })
})

/** Continues the latest checkpoint of the kind, or begins with what the parameters are evaluated with now. */
export const open: (
  options: SelectionOptions
) => Effect.Effect<Selection, RunError | TensorError, PolicyParameters | Checkpointer> = Effect.fn("Selection.open")(
  function*({ companions, every, kind, optimizer, origin, patience = Infinity, rounds }) {
    const store = yield* PolicyParameters
    const checkpointer = yield* Checkpointer
    let state = yield* TrainingState.resume(store, kind, optimizer, origin, companions)
    if (state.step === 0) yield* begin(store)
    // Training that had stopped early goes on when more rounds are asked for than then.
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
