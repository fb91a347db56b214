/**
 * The most probable leaves, exactly, and the probability of the rest.
 *
 * Beam search may lose a leaf whose first codes are improbable; here a prefix is forgotten only when all leaves below it
 * are worse than those returned.
 */
import * as Effect from "effect/Effect"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import { type RankedLeaves, type Search } from "./BeamSearch.ts"
import * as BestFirst from "./BestFirst.ts"
import { type DecoderError } from "./DecoderError.ts"

/**
 * Finds the `count` best leaves after each prompt, all of them where the space has no more.
 *
 * `tail` is the probability of what is not listed; leaves that are left out count only below prefixes which were never
 * expanded, so it is exact where nothing is left out and an upper bound elsewhere.
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
