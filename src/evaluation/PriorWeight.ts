/**
 * Choice of the weight of a prior by validation NDCG@10.
 */
import * as Effect from "effect/Effect"
import { type Example } from "../catalog/Split.ts"
import { type DecoderError } from "../decode/DecoderError.ts"
import { type LeafDecoder } from "../decode/LeafDecoder.ts"
import * as Prior from "../decode/Prior.ts"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type Sids } from "../sid/Sids.ts"
import * as PolicyRanking from "./PolicyRanking.ts"

/** Weight with its validation NDCG@10. */
export interface Measured {
  readonly weight: number
  readonly ndcg: number
}

/** Validation results of a grid of weights. */
export interface PriorWeight {
  /** Result of weight 0, the policy alone, then those of the grid in its order. */
  readonly weights: ReadonlyArray<Measured>
  /** Best weight above 0. */
  readonly weight: number
}

/** Returns the element with the highest NDCG; ties go to the first. */
export const best = <A extends { readonly ndcg: number }>(measured: readonly [A, ...ReadonlyArray<A>]): A =>
  measured.reduce((before, one) => (one.ndcg > before.ndcg ? one : before))

/** Weights that are compared: at least one, each above 0. */
export type Grid = readonly [number, ...ReadonlyArray<number>]

/** Returns the results of a grid from the NDCG of weight 0 and of every weight, in the order of the grid; 0 without one. */
export const of = ([first, ...others]: Grid, ndcgs: ReadonlyArray<number>): PriorWeight => {
  const measured = (weight: number, at: number): Measured => ({ weight, ndcg: ndcgs[at] ?? 0 })
  const above = [measured(first, 1), ...others.map((weight, i) => measured(weight, i + 2))] as const
  return { weights: [measured(0, 0), ...above], weight: best(above).weight }
}

/** Measures the policy alone and with every weight of a grid on validation examples. */
export const choose: (
  examples: ReadonlyArray<Example>,
  weights: Weights,
  prior: Prior.Prior,
  grid: Grid,
  options: Omit<PolicyRanking.RankingOptions, "prior">
) => Effect.Effect<PriorWeight, DecoderError, PolicyModel | LeafDecoder | Sids> = Effect.fn("PriorWeight.choose")(
  function*(examples, weights, prior, grid, { historyExcluded, ...options }) {
    const ranked = yield* PolicyRanking.rankEach(
      examples,
      weights,
      [
        { historyExcluded },
        ...grid.map((weight) => ({ historyExcluded, prior: Prior.weighted(prior, weight) }))
      ],
      options
    )
    return of(grid, ranked.map((one) => PolicyRanking.meanNdcg(one, 10)))
  }
)
