/**
 * Scorer of a policy's item head: the probability of every item as the next one.
 */
import * as Effect from "effect/Effect"
import { type Matrix } from "../../matrix/Matrix.ts"
import { type PolicyError } from "../../policy/PolicyError.ts"
import { type Weights } from "../../policy/PolicyModel.ts"
import * as Prompt from "../../policy/Prompt.ts"
import { type Scorer } from "./Scorer.ts"
import { ScorerError } from "./ScorerError.ts"

/** Makes the scorer of an item head with fixed weights. */
export const make = (
  name: string,
  scoreItems: (prompts: ReadonlyArray<Prompt.Prompt>, weights: Weights) => Effect.Effect<Matrix, PolicyError>,
  weights: Weights
): Scorer => ({
  name,
  scores: (histories) =>
    Effect.map(scoreItems(histories.map(Prompt.ofHistory), weights), ({ data: logProbs, rows, width }) => {
      const data = new Float64Array(logProbs.length)
      for (let i = 0; i < data.length; i++) data[i] = Math.exp(logProbs[i]!)
      return { rows, width, data }
    }).pipe(Effect.mapError((error) => new ScorerError({ scorer: name, detail: error.message })))
})
