/**
 * Sampling of leaves without replacement by stochastic beam search (Kool, van Hoof and Welling 2019, "Stochastic beams
 * and where to find them").
 *
 * Every leaf's log-probability is perturbed by an independent Gumbel variable and the k greatest are kept. This equals
 * drawing k leaves one after another in proportion to their probabilities, without replacement. Perturbed values are
 * computed from the root downwards: that of a node is the greatest of the leaves below it.
 *
 * Differs from the paper: prefixes outside the beam are kept and not pruned (`BestFirst`), so that excluded leaves do
 * not distort the draw; a prior is added to the perturbed values, which draws from probability x mass ^ weight.
 */
import * as Effect from "effect/Effect"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import * as Random from "../statistics/Random.ts"
import { type RankedLeaves, type Search } from "./BeamSearch.ts"
import * as BestFirst from "./BestFirst.ts"
import { type DecoderError } from "./DecoderError.ts"

/** Search whose result is a random draw. */
export interface Draw extends Search {
  /** Leaves to draw; fewer are drawn only if the space has fewer. */
  readonly count: number
  /** Key of every random number. */
  readonly key: ReadonlyArray<number>
}

/** Computes `log(1 - exp(-x))` for x >= 0 (Maechler 2012). */
const log1mExp = (x: number): number => x < Math.LN2 ? Math.log(-Math.expm1(-x)) : Math.log1p(-Math.exp(-x))

/** Makes the Gumbel perturbation of a key; it is stateful, and serves one query. */
export const gumbel = (...key: ReadonlyArray<number>): BestFirst.Perturbation => {
  const next = Random.uniform(...key, 0x6b6f)
  // Half a unit of the 32-bit random numbers, which excludes 0.
  const standard = () => -Math.log(-Math.log(next() + 2 ** -33))
  return {
    root: standard(),
    below: (value, logProbs) => {
      const free = logProbs.map((logProb) => logProb + standard())
      const most = free.reduce((a, b) => Math.max(a, b), -Infinity)
      // Conditions the values on their maximum being the node's value, in the numerically stable form of the paper's
      // appendix B.3.
      return free.map((one) => {
        const v = value - one + log1mExp(most - one)
        return value - Math.max(0, v) - Math.log1p(Math.exp(-Math.abs(v)))
      })
    }
  }
}

/**
 * Draws distinct leaves after each prompt, ranked by the policy's log-probability and the prior.
 *
 * `inclusion` is log(1 - exp(-exp(w - kappa))), with w the leaf's log-probability at `temperature` (by default 1) plus
 * the prior, and kappa the greatest perturbed value among the leaves that were not drawn. The sum over the draw of
 * exp(logProb - inclusion) f is an unbiased estimate of the sum of exp(logProb) f over all allowed leaves (Kool et al.,
 * section 4). Fails with `Unsettled` if more than `prefixes` prefixes of a prompt, by default 4,096, would have to be
 * expanded.
 */
export const draw: (
  draws: ReadonlyArray<Draw>,
  weights: Weights,
  options?: { readonly temperature?: number | undefined; readonly prefixes?: number | undefined }
) => Effect.Effect<ReadonlyArray<RankedLeaves>, DecoderError, PolicyModel> = Effect.fn("StochasticBeams.draw")(
  function*(draws, weights, { prefixes, temperature } = {}) {
    const found = yield* BestFirst.search(
      draws.map((one) => ({
        ...one,
        queries: [{ count: one.count + 1, perturbation: gumbel(...one.key), temperature }]
      })),
      weights,
      { prefixes }
    )
    return found.map(([list], i) => {
      const { paths, ...ranked } = BestFirst.ranked(list!.leaves.slice(0, draws[i]!.count))
      const kappa = list!.leaves[draws[i]!.count]?.bound ?? -Infinity
      const inclusion = Float32Array.from(paths, ({ prior, weight }) => log1mExp(Math.exp(weight + prior - kappa)))
      return { ...ranked, inclusion }
    })
  }
)
