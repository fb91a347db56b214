/**
 * Leaves drawn without replacement by perturbed beam search (Kool, van Hoof and Welling 2019, "Stochastic beams and where
 * to find them").
 *
 * Every leaf's log-probability is perturbed by an independent Gumbel variable and the k greatest are kept, which is the
 * same as drawing one leaf after the other in proportion to its probability and putting none back. Perturbed values are
 * made top down: a node's is the greatest below it.
 *
 * Differs from the paper: prefixes outside the beam wait and are not pruned (`BestFirst`), so that the draw follows the
 * policy's own conditional probabilities where leaves are left out; a prior is added to the perturbed values, which draws
 * from probability x mass ^ weight.
 */
import * as Effect from "effect/Effect"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import * as Random from "../statistics/Random.ts"
import { type RankedLeaves, type Search } from "./BeamSearch.ts"
import * as BestFirst from "./BestFirst.ts"
import { type DecoderError } from "./DecoderError.ts"

/** A search whose result is drawn. */
export interface Draw extends Search {
  /** Leaves wanted. */
  readonly count: number
  /** Every random number is a function of it. */
  readonly key: ReadonlyArray<number>
}

/** `log(1 - exp(-x))` for x >= 0 (Maechler 2012). */
const log1mExp = (x: number): number => x < Math.LN2 ? Math.log(-Math.expm1(-x)) : Math.log1p(-Math.exp(-x))

/** Makes the Gumbel perturbation of a key. */
export const gumbel = (...key: ReadonlyArray<number>): BestFirst.Perturbation => {
  const next = Random.uniform(...key, 0x6b6f)
  // Half a unit keeps the 32-bit numbers off 0.
  const standard = () => -Math.log(-Math.log(next() + 2 ** -33))
  return {
    root: standard(),
    below: (value, logProbs) => {
      const free = logProbs.map((logProb) => logProb + standard())
      const most = free.reduce((a, b) => Math.max(a, b), -Infinity)
      // Shifts the values so that the greatest is the node's, and the others are as independent draws below it (the
      // paper's appendix B.3, which is stable).
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
 * `inclusion` is log(1 - exp(-exp(w - kappa))) with w the log-weight that a leaf was drawn with and kappa the greatest
 * value that was not drawn: the sum over the draw of exp(logProb - inclusion) f is an unbiased estimate of the sum of
 * exp(logProb) f over all allowed leaves (Kool et al., section 4).
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
