/**
 * Any scorer as a prior of a decoder: a score is a share of the mass, and every item has a little.
 */
import * as Effect from "effect/Effect"
import { DecoderError, PriorFailed } from "../../decode/DecoderError.ts"
import * as Prior from "../../decode/Prior.ts"
import { type Scorer } from "./Scorer.ts"

/**
 * Makes a prior of scores that are not negative: `m = (1 - share) score / sum + share / N`, uniform where a scorer knows
 * nothing.
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
    if (prompt._tag !== "History") return fail("it scores histories, and the prompt is a text")
    return Effect.matchEffect(scorer.scores([prompt.history]), {
      onFailure: (error) => fail(error.message),
      onSuccess: ({ data }) => {
        const bad = data.findIndex((score) => !(score >= 0 && score < Infinity))
        if (bad >= 0) return fail(`item ${bad} has the score ${data[bad]}; a mass is finite and at least 0`)
        const sum = data.reduce((a, b) => a + b, 0)
        const even = 1 / data.length
        const mass = (item: number) => sum === 0 ? even : (1 - share) * data[item]! / sum + share * even
        return Effect.succeed(Prior.ofMasses(space, mass))
      }
    })
  }
})
