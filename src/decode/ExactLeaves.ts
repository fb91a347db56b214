/**
 * Exact search for the most probable leaves, and the probability of the others.
 *
 * Beam search may lose a probable leaf whose first codes are improbable; here a prefix is left unexpanded only if no
 * leaf below it is better than the leaves returned.
 */
import * as Effect from "effect/Effect"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type RankedLeaves, type Search } from "./BeamSearch.ts"
import * as BestFirst from "./BestFirst.ts"
import { type DecoderError } from "./DecoderError.ts"

/**
 * Finds the `count` best leaves after each prompt, or all of them if the space has fewer.
 *
 * `tail` is the policy's probability of the allowed leaves that are not listed. Below prefixes that were not expanded
 * it counts excluded leaves too: it is exact for an unfiltered space and an upper bound for a filtered one. Fails with
 * `Unsettled` if more than `prefixes` prefixes of a prompt, by default 4,096, would have to be expanded.
 */
export const search: (
  searches: ReadonlyArray<Search & { readonly count: number }>,
  weights: Weights,
  options?: { readonly prefixes?: number | undefined }
) => Effect.Effect<ReadonlyArray<RankedLeaves>, DecoderError, PolicyModel> = Effect.fn("ExactLeaves.search")(
  function*(searches, weights, options) {
    const found = yield* BestFirst.search(
      searches.map((one) => ({ ...one, queries: [{ count: one.count }] })),
      weights,
      options
    )
    return found.map(([list]) => {
      const { paths: _, ...ranked } = BestFirst.ranked(list!.leaves)
      return { ...ranked, tail: list!.tail }
    })
  }
)
