/**
 * Chooses how much a prior weighs beside a policy, by validation NDCG@10.
 */
import * as Effect from "effect/Effect"
import { type Example } from "../catalog/Split.ts"
import { type DecoderError } from "../decode/DecoderError.ts"
import { type LeafDecoder } from "../decode/LeafDecoder.ts"
import * as Prior from "../decode/Prior.ts"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type Sids } from "../sid/Sids.ts"
import * as PolicyRanking from "./PolicyRanking.ts"

/** A weight and what validation says of it. */
export interface Measured {
  readonly weight: number
  readonly ndcg: number
}

/** Every weight of a grid, and the best one above 0. */
export interface PriorWeight {
  /** In the order of the grid, after 0: the policy alone. */
  readonly weights: ReadonlyArray<Measured>
  readonly weight: number
}

/** Returns the best; of equal ones the first. */
export const best = <A extends { readonly ndcg: number }>(measured: readonly [A, ...ReadonlyArray<A>]): A =>
  measured.reduce((before, one) => (one.ndcg > before.ndcg ? one : before))

/** Measures the policy alone and with every weight of a grid [at least one, above 0] on validation examples. */
export const choose: (
  examples: ReadonlyArray<Example>,
  weights: Weights,
  prior: Prior.Prior,
  grid: readonly [number, ...ReadonlyArray<number>],
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
    const measured = (weight: number, at: number): Measured => ({
      weight,
      ndcg: PolicyRanking.meanNdcg(ranked[at]!, 10)
    })
    const [first, ...others] = grid
    const above = [measured(first, 1), ...others.map((weight, i) => measured(weight, i + 2))] as const
    return { weights: [measured(0, 0), ...above], weight: best(above).weight }
  }
)
