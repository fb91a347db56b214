/**
 * Fusion of a scorer with a policy, as a prior of its decoder, and the choice of the model with which a run recommends.
 */
import * as Effect from "effect/Effect"
import { type Example, type Split } from "../src/catalog/Split.ts"
import type * as Prior from "../src/decode/Prior.ts"
import * as ItemKnn from "../src/evaluation/baseline/ItemKnn.ts"
import * as SasRecScorer from "../src/evaluation/baseline/sasrec/SasRecScorer.ts"
import { type Scorer } from "../src/evaluation/baseline/Scorer.ts"
import { type ScorerError } from "../src/evaluation/baseline/ScorerError.ts"
import * as ScorerFusion from "../src/evaluation/baseline/ScorerFusion.ts"
import * as ScorerPrior from "../src/evaluation/baseline/ScorerPrior.ts"
import * as EvaluationRecord from "../src/evaluation/EvaluationRecord.ts"
import * as Evaluator from "../src/evaluation/Evaluator.ts"
import * as PriorWeight from "../src/evaluation/PriorWeight.ts"
import * as Rank from "../src/evaluation/Rank.ts"
import type * as Prepare from "./Prepare.ts"
import * as RunSasRec from "./RunSasRec.ts"

/** Share of the prior's mass that is uniform over all items. */
const share = ScorerPrior.defaultShare

/** Fits ItemKNN to the training sequences. */
export const itemKnn = (split: Split, items: number): Scorer => ItemKnn.fit(split.train, items)

/** Makes the scorer of this name on which an evaluation has built its prior; SASRec is read from the run. */
export const scorer = Effect.fnUntraced(function*(name: string, prepared: Prepare.Prepared) {
  return name === SasRecScorer.name
    ? yield* RunSasRec.read(prepared, "evaluate")
    : itemKnn(prepared.split, prepared.dataset.items.length)
})

/** Makes the prior of a scorer with a weight. */
export const prior = (scorer: Scorer, weight: number): Prior.Prior => ScorerPrior.make(scorer, { share, weight })

const headScale = { kind: "logMass", epsilon: 1e-12 } as const

/** Makes the scorer of an item head with a scorer of a weight beside it. */
export const withItemHead = (head: Scorer, scorer: Scorer, weight: number): Scorer =>
  ScorerFusion.make(
    [{ scorer: head, weight: 1, scale: headScale }, { scorer, weight }],
    EvaluationRecord.rowName(head.name, scorer.name)
  )

/** Measures an item head alone and with a scorer of every weight of a grid beside it on validation examples. */
export const weighItemHead = (
  examples: ReadonlyArray<Example>,
  head: Scorer,
  scorer: Scorer,
  grid: PriorWeight.Grid,
  historyExcluded: boolean
): Effect.Effect<PriorWeight.PriorWeight, ScorerError> =>
  Evaluator.byEach(
    examples,
    (histories) =>
      ScorerFusion.scoresEach(
        [{ scorer: head, scale: headScale }, { scorer }],
        [[1, 0], ...grid.map((weight) => [1, weight])],
        histories
      ),
    [historyExcluded]
  ).pipe(
    Effect.map((rankings) => PriorWeight.of(grid, rankings.map(([one]) => Rank.meanNdcg(one!.ranks, 10))))
  )

/** Chooses the best policy and weight by validation; ties go to a policy alone. Returns undefined without policies. */
export const decide = (
  choices: ReadonlyArray<EvaluationRecord.WeightChoice>,
  made: Pick<EvaluationRecord.Fusion, "scorer" | "users" | "historyExcluded">
): EvaluationRecord.Fusion | undefined => {
  const [first, ...others] = choices.flatMap(({ phase, weights }) =>
    weights.map(({ ndcg, weight }) => ({ phase, weight, ndcg }))
  ).toSorted((a, b) => Math.sign(a.weight) - Math.sign(b.weight))
  return first === undefined ? undefined : { ...made, share, choices, best: PriorWeight.best([first, ...others]) }
}

/** Returns the name of a choice's row in the evaluation. */
export const nameOf = (
  { scorer }: Pick<EvaluationRecord.Fusion, "scorer">,
  { phase, weight }: { readonly phase: string; readonly weight: number }
): string => EvaluationRecord.rowName(phase, weight > 0 ? scorer : undefined)

const weighted = (fusion: EvaluationRecord.Fusion, one: { readonly phase: string; readonly weight: number }): string =>
  one.weight > 0 ? `${nameOf(fusion, one)} (weight ${one.weight})` : nameOf(fusion, one)

/** Describes the chosen model and the candidates for the choice. */
export const describe = (fusion: EvaluationRecord.Fusion): string => {
  const all = fusion.choices.flatMap(({ phase, weight, weights }) =>
    weights.filter((one) => one.weight === 0 || one.weight === weight).map((one) =>
      `${weighted(fusion, { phase, weight: one.weight })} ${one.ndcg.toFixed(4)}`
    )
  )
  return `recommend ranks with ${weighted(fusion, fusion.best)}, the best NDCG@10 on ${
    fusion.users.toLocaleString("en")
  } validation users: ${all.join(", ")}.`
}
