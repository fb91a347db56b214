/**
 * Recommendations of a run for a user, or for a history of titles.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { CatalogError, EmptyHistory, UnknownUser } from "../src/catalog/CatalogError.ts"
import { type Dataset } from "../src/catalog/Dataset.ts"
import { type History } from "../src/catalog/History.ts"
import * as TitleSearch from "../src/catalog/TitleSearch.ts"
import { LeafDecoder } from "../src/decode/LeafDecoder.ts"
import * as ItemHeadScorer from "../src/evaluation/baseline/ItemHeadScorer.ts"
import { type Scorer } from "../src/evaluation/baseline/Scorer.ts"
import * as EvaluationRecord from "../src/evaluation/EvaluationRecord.ts"
import * as PolicyRanking from "../src/evaluation/PolicyRanking.ts"
import { PolicyModel, type Weights } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as Prompt from "../src/policy/Prompt.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import * as Supervised from "../src/sft/Sft.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as LeafSpace from "../src/sid/trie/LeafSpace.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as EvaluationFiles from "./EvaluationFiles.ts"
import * as Fusion from "./Fusion.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as RankingModels from "./RankingModels.ts"
import * as RunSettings from "./RunSettings.ts"
import { SettingsError } from "./SettingsError.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Request for recommendations, for a user or for a history. */
export interface Question {
  /** Key of a user of the data. */
  readonly user?: string | undefined
  /** Titles of a history, as `TitleSearch.history` reads them. */
  readonly history?: string | undefined
  /** Number of recommendations, at least 1. */
  readonly count: number
  /** Name of the model that ranks, one of `RankingModels.names`. @default the best by validation */
  readonly model?: string | undefined
}

/** Recommended item. */
export interface Recommendation {
  /** Key of the item in the data. */
  readonly item: string
  readonly title: string
  /** Probability of the SID under the policy, or of the item under its item head, 0 to 1. */
  readonly probability: number
  /**
   * Ranking score: the natural logarithm of the probability plus the weighted logarithm of the prior's share; of an item
   * head with a prior their sum up to a constant.
   */
  readonly score: number
  readonly sid: string
}

/** Recommendations with their history and model. */
export interface Answer {
  /** Titles of the history, oldest first. */
  readonly history: ReadonlyArray<string>
  /** Model that ranked: the name of its row in the evaluation. */
  readonly model: string
  /** Weight of the prior, 0 for the policy alone. */
  readonly weight: number
  /** Reason for the choice of the model. */
  readonly reason: string
  /** Recommendations, best first. */
  readonly recommendations: ReadonlyArray<Recommendation>
}

/** Checks a request before any work begins. */
export const check = (question: Question): Effect.Effect<Question, SettingsError> => {
  const problems = [
    ...(question.count >= 1 ? [] : [`count: at least 1 is needed, got ${question.count}`]),
    ...(question.user === undefined || question.history === undefined
      ? []
      : ["user, history: each names a history of its own; give --user or --history, not both"])
  ]
  return problems.length === 0
    ? Effect.succeed(question)
    : Effect.fail(new SettingsError({ source: "the command line", problems }))
}

/** Returns the history of a question with its times, which those of titles lack. */
const historyOf = (dataset: Dataset, question: Question): History | CatalogError => {
  if (question.history !== undefined) {
    const items = TitleSearch.history(dataset.items, question.history)
    return items instanceof CatalogError ? items : { user: -1, items }
  }
  if (question.user === undefined) return new CatalogError({ reason: new EmptyHistory() })
  const user = dataset.userKeys.indexOf(question.user)
  return user >= 0 ? { user: -1, items: dataset.sequences[user]!, times: dataset.times?.[user] } : new CatalogError({
    reason: new UnknownUser({ user: question.user, examples: dataset.userKeys.slice(0, 3) })
  })
}

/** Model that ranks. */
interface Choice {
  readonly phase: RankingModels.RankingModel["phase"]
  readonly isItemHead: boolean
  readonly weight: number
  /** Name of the prior's scorer. */
  readonly scorer: string
  readonly reason: string
}

/** Name of the generator or item head of a choice in the evaluation. */
const headName = ({ isItemHead, phase }: Pick<Choice, "isItemHead" | "phase">): string =>
  isItemHead ? EvaluationRecord.itemHeadName(phase) : phase

/** Chooses the model: the requested one, else the best by the run's evaluation, else the latest generator alone. */
const decide = Effect.fnUntraced(function*(asked: Question["model"]) {
  const { kept, run, settings } = yield* Workspace
  const made = yield* RunSettings.madeBy(run)
  const trained = RankingModels.phases.filter((phase) => made[phase].best !== undefined)
  const latest = trained.at(-1)
  if (latest === undefined) {
    return yield* new RunError({ reason: new NoCheckpoint({ path: run, kind: Supervised.kind }) })
  }
  const record = yield* kept(EvaluationFiles.record.name, EvaluationFiles.record.codec, "evaluate").pipe(
    Effect.catchReason("RunError", "NoArtefact", () => Effect.succeed(undefined))
  )
  const fusion = record?.fusion
  const scorer = fusion?.scorer ?? settings.evaluation.prior
  if (asked !== undefined) {
    const model = RankingModels.models.get(asked)
    if (model === undefined) {
      return yield* new SettingsError({
        source: "the command line",
        problems: [`model: Expected one of ${RankingModels.names.join(", ")}, got ${JSON.stringify(asked)}`]
      })
    }
    const { isItemHead, phase, prior } = model
    if (!trained.includes(phase)) return yield* new RunError({ reason: new NoCheckpoint({ path: run, kind: phase }) })
    const found = { phase, isItemHead, scorer, reason: "as asked" }
    if (prior === undefined) return { ...found, weight: 0 } satisfies Choice
    const chosen = prior === scorer ? fusion?.choices.find((one) => one.phase === headName(found)) : undefined
    return chosen === undefined
      ? yield* new SettingsError({
        source: "the command line",
        problems: [
          `model: ${asked} has no weight yet in ${run}; run \`sidereal evaluate --run ${run}\`, which chooses that of ` +
          `evaluation.prior (${settings.evaluation.prior}), or use --model ${asked.split("+")[0]}`
        ]
      })
      : { ...found, weight: chosen.weight } satisfies Choice
  }
  const alone = (why: string): Choice => ({
    phase: latest,
    isItemHead: false,
    weight: 0,
    scorer,
    reason: `${why}; \`sidereal evaluate --run ${run}\` chooses by validation`
  })
  if (fusion === undefined) return alone("the run has no evaluation that chose a model")
  const isCurrent = trained.every((phase) =>
    fusion.choices.some((one) => one.phase === phase && one.step === made[phase].best)
  )
  const best = trained.flatMap((phase) => [false, true].map((isItemHead) => ({ phase, isItemHead })))
    .find((one) => headName(one) === fusion.best.phase)
  return !isCurrent || best === undefined
    ? alone("the run was trained further after its evaluation")
    : {
      ...best,
      weight: fusion.best.weight,
      scorer,
      reason: `the best by validation, NDCG@10 ${fusion.best.ndcg.toFixed(4)}`
    } satisfies Choice
})

/** Item with its place in a ranking. */
type Ranked = Omit<ReturnType<typeof PolicyRanking.rankedItems>[number], "group">

/** Ranks the allowed items after a history by an item head, alone or with a scorer of a weight beside it. */
const byItemHead = Effect.fnUntraced(function*(
  { count, history, space, weights }: {
    readonly history: History
    readonly count: number
    readonly space: LeafSpace.LeafSpace
    readonly weights: Weights
  },
  choice: Choice,
  prior: Scorer | undefined
) {
  const { scoreItems } = yield* PolicyModel
  const { settings } = yield* Workspace
  if (Option.isNone(scoreItems)) {
    return yield* new SettingsError({
      source: "the command line",
      problems: [`model: the ${settings.family} policy has no item head; use --model ${choice.phase}`]
    })
  }
  const head = ItemHeadScorer.make(headName(choice), scoreItems.value, weights)
  const scored = yield* head.scores([history])
  const { data: probabilities } = scored
  const { data: scores } = prior === undefined
    ? scored
    : yield* Fusion.withItemHead({ ...head, scores: () => Effect.succeed(scored) }, prior, choice.weight).scores([
      history
    ])
  return Array.from(scores.keys()).filter((item) => space.leaf(item) >= 0)
    .toSorted((a, b) => scores[b]! - scores[a]! || a - b)
    .slice(0, count)
    .map((item): Ranked => ({ item, logProb: Math.log(probabilities[item]!), score: Math.log(scores[item]!) }))
})

/**
 * Recommends with the requested model or the best by validation; `evaluation.historyExcluded` decides whether items of
 * the history may be recommended, as in the evaluation.
 */
export const program = Effect.fn("recommend")(function*(
  question: Question,
  policy: Policies.PolicyLayer = Policies.chosen
) {
  const { run, settings } = yield* Workspace
  const prepared = yield* Prepare.program()
  const { dataset } = prepared
  const { index } = yield* Tokenize.program()
  const history = historyOf(dataset, question)
  if (history instanceof CatalogError) return yield* history
  const { historyExcluded } = settings.evaluation
  const choice = yield* decide(question.model)
  const { isItemHead, phase, reason, weight } = choice

  return yield* Effect.gen(function*() {
    const scorer = weight > 0 ? yield* Fusion.scorer(choice.scorer, prepared) : undefined
    const parameters = yield* PolicyParameters
    const whole = (yield* Sids).space
    const space = historyExcluded ? LeafSpace.without(whole, history.items) : whole
    const checkpointer = yield* Checkpointer
    const step = yield* TrainingState.loadFinal(parameters, checkpointer, phase, settings[phase].optimizer)
    if (step === undefined) {
      return yield* new RunError({ reason: new NoCheckpoint({ path: run, kind: phase }) })
    }
    const weights = yield* parameters.evaluation
    const { count } = question
    const byGenerator = Effect.gen(function*() {
      const prior = scorer === undefined ? undefined : Fusion.prior(scorer, weight)
      const [ranked] = yield* (yield* LeafDecoder).decode(
        [{ prompt: Prompt.ofHistory(history), count, space, prior }],
        weights
      )
      return PolicyRanking.rankedItems(space, ranked!).slice(0, count)
    })
    const ranked: ReadonlyArray<Ranked> = isItemHead
      ? yield* byItemHead({ history, count, space, weights }, choice, scorer)
      : yield* byGenerator
    const answer: Answer = {
      history: Array.from(history.items, (item) => dataset.items[item]!.title),
      model: EvaluationRecord.rowName(headName(choice), scorer?.name),
      weight,
      reason,
      recommendations: ranked.map(({ item, logProb, score }) => ({
        item: dataset.items[item]!.key,
        title: dataset.items[item]!.title,
        probability: Math.exp(logProb),
        score,
        sid: SidIndex.format(index.sids[item]!)
      }))
    }
    return answer
  }).pipe(
    Effect.scoped,
    Effect.provide(
      LeafDecoder.layerStages({ beams: settings.evaluation.beams }).pipe(
        Layer.provideMerge(Policies.layer(policy, dataset, index))
      )
    )
  )
})
