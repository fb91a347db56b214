/**
 * Leaves drawn one by one from the policy: every code from the children of its prefix, at a temperature that is applied
 * once.
 *
 * Where leaves are left out or a prior stands beside the policy, a leaf is drawn from what remains of the distribution
 * over whole SIDs, not code by code from renormalised siblings: the search goes on until the greatest of the perturbed
 * values is that of an allowed leaf (Maddison, Tarlow and Minka 2014, "A* sampling").
 */
import * as Effect from "effect/Effect"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type RankedLeaves } from "./BeamSearch.ts"
import * as BestFirst from "./BestFirst.ts"
import { type DecoderError } from "./DecoderError.ts"
import * as StochasticBeams from "./StochasticBeams.ts"

/** How to draw. */
export interface SamplingOptions {
  /** Divides the log-probabilities of what may follow a prefix, which are normalised again. @default 1 */
  readonly temperature?: number | undefined
  /**
   * Whether a leaf can be drawn several times. Without it, draws that repeat one are drawn again, which is the law of
   * `StochasticBeams`. @default false
   */
  readonly replacement?: boolean | undefined
  /** Prefixes of a prompt that are expanded at most. @default 4096 */
  readonly prefixes?: number | undefined
}

/** Draws leaves after each prompt, ranked by the policy's log-probability and the prior. */
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
