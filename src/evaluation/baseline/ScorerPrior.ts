/**
 * Prior of a decoder from the scores of any scorer, mixed with a uniform distribution over the catalogue.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import { type History } from "../../catalog/History.ts"
import { DecoderError, PriorFailed } from "../../decode/DecoderError.ts"
import * as Prior from "../../decode/Prior.ts"
import { type Scorer } from "./Scorer.ts"
import { type ScorerError } from "./ScorerError.ts"

/** Default share of the mass that is uniform over all items. */
export const defaultShare = 0.02

/** Request for the scores [N] after one history. */
class Scores extends Request.TaggedClass("Scores")<{ readonly history: History }, Float64Array, ScorerError> {}

/** Resolves concurrent requests in one call of the scorer. */
const batched = (scorer: Scorer) =>
  RequestResolver.make<Scores>((entries) =>
    Effect.map(scorer.scores(entries.map(({ request }) => request.history)), ({ data, width }) => {
      for (const [row, entry] of entries.entries()) {
        entry.completeUnsafe(Exit.succeed(data.subarray(row * width, (row + 1) * width)))
      }
    })
  )

/**
 * Makes a prior from non-negative scores: the mass of an item is `m = (1 - share) score / sum + share / N`, uniform if
 * all scores are 0; `share` is by default 0.02.
 *
 * The scorer is called once for all prompts of a search.
 */
export const make = (
  scorer: Scorer,
  { share = defaultShare, weight }: { readonly weight: number; readonly share?: number | undefined }
): Prior.Prior => {
  const resolver = batched(scorer)
  return {
    name: scorer.name,
    weight,
    logMass: (prompt, space) => {
      const fail = (detail: string) =>
        Effect.fail(new DecoderError({ reason: new PriorFailed({ prior: scorer.name, detail }) }))
      if (prompt._tag !== "History") return fail("it scores histories, and the prompt is a text")
      return Effect.matchEffect(Effect.request(new Scores({ history: prompt.history }), resolver), {
        onFailure: (error) => fail(error.message),
        onSuccess: (scores) => {
          let sum = 0
          for (let item = 0; item < scores.length; item++) {
            const score = scores[item]!
            if (!(score >= 0 && score < Infinity)) {
              return fail(`item ${item} has the score ${score}; a mass is finite and at least 0`)
            }
            sum += score
          }
          const even = (sum === 0 ? 1 : share) / scores.length
          const scale = sum === 0 ? 0 : (1 - share) / sum
          return Effect.succeed(Prior.ofMasses(space, (item) => scale * scores[item]! + even))
        }
      })
    }
  }
}
