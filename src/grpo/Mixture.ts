/**
 * Mixture of the policy before and after training: the weighted mean of their parameters.
 *
 * A mixture keeps most of what training gained and regains recommendations that it lost (WiSE-FT, Wortsman et al. 2022).
 * Differs from the paper: the weight is chosen by validation, under the condition that the lists stay as broad as before.
 */
import * as Effect from "effect/Effect"
import { type StoreState } from "../optimizer/OptimizerSlots.ts"
import { type ParameterStore } from "../optimizer/ParameterStore.ts"
import { type RunEvent } from "../run/RunLog.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import { type Validation } from "./monitoring/Validation.ts"

/** Validation of a mixture. */
export interface Measured extends Pick<Validation, "ndcg" | "breadth"> {
  /** Weight of the trained parameters in the mean, 0 to 1. */
  readonly share: number
}

/**
 * Returns the mixture with the best NDCG@10 among those whose breadth is at least that before training; if there is none,
 * the broadest of those whose NDCG@10 is not below that before training. Ties go to the earlier one.
 */
export const choose = (
  measured: readonly [Measured, ...ReadonlyArray<Measured>],
  start: Pick<Validation, "ndcg" | "breadth">
): Measured => {
  const gained = measured.filter((one) => one.ndcg >= start.ndcg)
  const broad = gained.filter((one) => one.breadth >= start.breadth)
  return broad.length > 0
    ? broad.reduce((best, one) => one.ndcg > best.ndcg ? one : best)
    : gained.reduce((best, one) => one.breadth > best.breadth ? one : best, gained[0] ?? measured[0])
}

/** Returns the evaluation weights of a state by parameter. */
const evaluated = ({ average, weights }: StoreState) => new Map([...weights, ...average])

/** Sets the parameters to the mean of two states' evaluation weights; the optimizer's slots are emptied. */
const set = (
  store: ParameterStore,
  before: StoreState,
  after: StoreState,
  share: number
): Effect.Effect<void, TensorError> => {
  const trained = evaluated(after)
  const weights = new Map(
    Array.from(evaluated(before), ([name, start]) => {
      const end = trained.get(name)!.data
      return [name, { ...start, data: Float32Array.from(start.data, (x, i) => (1 - share) * x + share * end[i]!) }]
    })
  )
  return store.restore({ version: after.version, weights, average: new Map(), slots: new Map() })
}

/** Mixtures that were validated, the trained parameters first, and the chosen one. */
export interface Settled {
  readonly chosen: Measured
  readonly measured: ReadonlyArray<Measured>
}

/**
 * Chooses between the parameters of the store, which are those after training, and their mixtures with `before`, and
 * leaves the chosen ones in the store. `measure` validates the parameters that are in the store when it runs.
 */
export const settle: <E, R>(
  store: ParameterStore,
  options: {
    readonly before: StoreState
    readonly shares: ReadonlyArray<number>
    /** Validation before training. */
    readonly start: Pick<Validation, "ndcg" | "breadth">
    readonly measure: Effect.Effect<Pick<Validation, "ndcg" | "breadth">, E, R>
  }
) => Effect.Effect<Settled, E | TensorError, R> = Effect.fn("Mixture.settle")(
  function*(store, { before, measure, shares, start }) {
    const measured = (share: number) => Effect.map(measure, ({ breadth, ndcg }) => ({ share, ndcg, breadth }))
    const after = yield* store.save
    const all: [Measured, ...Array<Measured>] = [yield* measured(1)]
    for (const share of shares) {
      yield* set(store, before, after, share)
      all.push(yield* measured(share))
    }
    const chosen = choose(all, start)
    yield* set(store, before, after, chosen.share)
    return { chosen, measured: all }
  }
)

/** Returns the event of a choice for the log of a run; `phase` is the kind of the phase's checkpoints. */
export const event = (phase: string, step: number, { chosen, measured }: Settled): RunEvent => ({
  kind: `${phase}.mixture`,
  step,
  fields: {
    share: chosen.share,
    "NDCG@10": chosen.ndcg,
    breadth: chosen.breadth,
    ...Object.fromEntries(measured.flatMap(({ breadth, ndcg, share }) => [
      [`NDCG@10 at ${share}`, ndcg],
      [`breadth at ${share}`, breadth]
    ]))
  }
})
