/**
 * Prior of a decoder from the scores of any scorer, mixed with a uniform distribution over the catalogue.
 */
import * as Effect from "effect/Effect"
import { DecoderError, PriorFailed } from "../../decode/DecoderError.ts"
import * as Prior from "../../decode/Prior.ts"
import { type Scorer } from "./Scorer.ts"

/**
 * Makes a prior from scores, which must be at least 0: the mass of an item is `(1 - share) score / sum + share / N`,
 * and uniform where all scores are 0. `share` is the share of the uniform distribution, 0.02 by default.
 */
export const make = (
  scorer: Scorer,
  { share = 0.02, weight }: { readonly weight: number; readonly share?: number | undefined }
): Prior.Prior => ({
  name: scorer.name,
  weight,
  logMass: (prompt, space) => {
    const fail = (detail: string) =>
      Effect.fail(new DecoderError({ reason: new PriorFailed({ prior: scorer.name, detail }) }))
    if (prompt._tag !== "History") return fail("it scores histories, but the prompt is text")
    return Effect.matchEffect(scorer.scores([prompt.history]), {
      onFailure: (error) => fail(error.message),
      onSuccess: ({ data }) => {
        const bad = data.findIndex((score) => !(score >= 0 && score < Infinity))
        if (bad >= 0) return fail(`item ${bad} has the score ${data[bad]}; scores must be finite and at least 0`)
        const sum = data.reduce((a, b) => a + b, 0)
        const even = 1 / data.length
        const mass = (item: number) => sum === 0 ? even : (1 - share) * data[item]! / sum + share * even
        return Effect.succeed(Prior.ofMasses(space, mass))
      }
    })
  }
})
