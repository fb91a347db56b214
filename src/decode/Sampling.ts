/**
 * Ancestral sampling: leaves drawn independently from the policy, each code from the children of its prefix, at a
 * temperature.
 *
 * With excluded leaves or a prior, a leaf is drawn from the distribution over whole SIDs restricted to the allowed
 * leaves and weighted by the prior, not code by code from renormalised siblings: the search continues until the
 * greatest perturbed value is that of an allowed leaf (Maddison, Tarlow and Minka 2014, "A* sampling").
 */
import * as Effect from "effect/Effect"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type RankedLeaves } from "./BeamSearch.ts"
import * as BestFirst from "./BestFirst.ts"
import { type DecoderError } from "./DecoderError.ts"
import * as StochasticBeams from "./StochasticBeams.ts"

/** Options of a draw. */
export interface SamplingOptions {
  /**
   * Divisor of the log-probabilities of a prefix's children and end, which are then normalised again; above 0.
   * @default 1
   */
  readonly temperature?: number | undefined
  /**
   * Whether a leaf may be drawn several times; if not, leaves are drawn without replacement by `StochasticBeams`.
   * @default false
   */
  readonly replacement?: boolean | undefined
  /** Largest number of prefixes expanded per prompt. @default 4096 */
  readonly prefixes?: number | undefined
}

/**
 * Draws `count` leaves after each prompt, ranked by the policy's log-probability (at temperature 1) plus the prior.
 * Fails with `Unsettled` if more than `prefixes` prefixes of a prompt would have to be expanded.
 */
export const draw: (
  draws: ReadonlyArray<StochasticBeams.Draw>,
  weights: Weights,
  options?: SamplingOptions
) => Effect.Effect<ReadonlyArray<RankedLeaves>, DecoderError, PolicyModel> = Effect.fn("Sampling.draw")(
  function*(draws, weights, { prefixes, replacement = false, temperature } = {}) {
    if (!replacement) return yield* StochasticBeams.draw(draws, weights, { prefixes, temperature })
    const found = yield* BestFirst.search(
      draws.map((one) => ({
        ...one,
        queries: Array.from({ length: one.count }, (_, i) => ({
          count: 1,
          perturbation: StochasticBeams.gumbel(...one.key, i),
          temperature
        }))
      })),
      weights,
      { prefixes }
    )
    return found.map((lists) => {
      const { paths: _, ...ranked } = BestFirst.ranked(lists.flatMap(({ leaves }) => leaves))
      return ranked
    })
  }
)
