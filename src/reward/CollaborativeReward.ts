/**
 * Reward of a candidate by an item scorer: item-to-item counts, a sequential model such as SASRec, or a fusion.
 *
 * A candidate that is no item has the lowest score of the catalogue; in the form `logMass`, the score of an item
 * without mass.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { type Scorer } from "../evaluation/baseline/Scorer.ts"
import { ScorerError } from "../evaluation/baseline/ScorerError.ts"
import * as ScoreScale from "../evaluation/baseline/ScoreScale.ts"
import { Reward } from "./Reward.ts"

/**
 * Form of the reward, given the scores s of the N items after the group's history.
 *
 * - `logMass`: `log(s / sum + epsilon)` over the catalogue; for scores that are not negative.
 * - `logSoftmax`: natural log-probability of the item under `softmax(s / temperature)` over the catalogue.
 * - `logits`: s itself, as in MiniOneRec's `sasrec` reward, whose s are the logits of SASRec. Differs from MiniOneRec,
 *   which uses the logit of a random item for a candidate that is no item.
 * - `zScore`: `(s - mean) / (std + 1e-4)` over the candidates of the group, with the sample deviation (n - 1).
 * - `rank`: share of the other candidates of the group with a lower score, 0 to 1; ties count half.
 */
export type CollaborativeForm =
  | Extract<ScoreScale.ScoreScale, { readonly kind: "logMass" | "logSoftmax" }>
  | { readonly kind: "logits" | "zScore" | "rank" }

const zScores = (scores: ReadonlyArray<number>): ReadonlyArray<number> => {
  const mean = scores.reduce((a, b) => a + b, 0) / scores.length
  const squares = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0)
  const deviation = scores.length < 2 ? 0 : Math.sqrt(squares / (scores.length - 1))
  return scores.map((score) => (score - mean) / (deviation + 1e-4))
}

const ranks = (scores: ReadonlyArray<number>): ReadonlyArray<number> =>
  scores.map((score) => {
    let below = -0.5
    for (const other of scores) below += other < score ? 1 : other === score ? 0.5 : 0
    return scores.length < 2 ? 0 : below / (scores.length - 1)
  })

const absent = (form: CollaborativeForm, row: Float64Array): number =>
  form.kind === "logMass"
    ? Math.log(form.epsilon ?? ScoreScale.epsilon)
    : row.reduce((least, score) => Math.min(least, score), Infinity)

/** Provides the reward; by default in the form `logMass`, for scorers of non-negative counts, named "collaborative". */
export const layer = ({ form = { kind: "logMass" }, name = "collaborative", scorer }: {
  readonly scorer: Scorer
  readonly form?: CollaborativeForm | undefined
  readonly name?: string | undefined
}): Layer.Layer<Reward> =>
  Reward.layerBatch(name, (groups) =>
    Effect.gen(function*() {
      const { data, width } = yield* scorer.scores(groups.map(({ history, user }) => ({ user, items: history })))
      return yield* Effect.forEach(groups, ({ items }, g) =>
        Effect.gen(function*() {
          const outside = items.find((item) => item >= width)
          if (outside !== undefined) {
            return yield* new ScorerError({
              scorer: scorer.name,
              detail: `item ${outside} is not among its ${width} items`
            })
          }
          const raw = data.subarray(g * width, (g + 1) * width)
          const row = form.kind === "logMass" || form.kind === "logSoftmax"
            ? yield* ScoreScale.apply(scorer.name, raw, form)
            : raw
          const least = absent(form, row)
          const scores = Array.from(items, (item) => item < 0 ? least : row[item]!)
          return form.kind === "zScore" ? zScores(scores) : form.kind === "rank" ? ranks(scores) : scores
        }))
    }))
