/**
 * Recommendations of a run for a user or for a history in titles.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CatalogError, EmptyHistory, UnknownUser } from "../src/catalog/CatalogError.ts"
import { type Dataset } from "../src/catalog/Dataset.ts"
import * as TitleSearch from "../src/catalog/TitleSearch.ts"
import { LeafDecoder } from "../src/decode/LeafDecoder.ts"
import * as PolicyRanking from "../src/evaluation/PolicyRanking.ts"
import * as Group from "../src/grpo/Grpo.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as Prompt from "../src/policy/Prompt.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import * as Supervised from "../src/sft/Sft.ts"
import * as SidIndex from "../src/sid/SidIndex.ts"
import { Sids } from "../src/sid/Sids.ts"
import * as LeafSpace from "../src/sid/trie/LeafSpace.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import { SettingsError } from "./Settings.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Who or what to recommend for. */
export interface Question {
  readonly user?: string | undefined
  readonly history?: string | undefined
  readonly count: number
}

/** One recommendation. */
export interface Recommendation {
  readonly item: string
  readonly title: string
  /** Probability of the SID under the policy. */
  readonly probability: number
  readonly sid: string
}

/** What was asked and what is recommended, best first. */
export interface Answer {
  readonly history: ReadonlyArray<string>
  readonly recommendations: ReadonlyArray<Recommendation>
}

/** Checks a question before any work begins. */
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

const historyOf = (dataset: Dataset, question: Question): Int32Array | CatalogError => {
  if (question.history !== undefined) return TitleSearch.history(dataset.items, question.history)
  if (question.user === undefined) return new CatalogError({ reason: new EmptyHistory() })
  const user = dataset.userKeys.indexOf(question.user)
  return user >= 0 ? dataset.sequences[user]! : new CatalogError({
    reason: new UnknownUser({ user: question.user, examples: dataset.userKeys.slice(0, 3) })
  })
}

/** Answers a question with the run's latest phase; lists hold the history or not, as those that are evaluated. */
export const program = Effect.fn("recommend")(function*(
  question: Question,
  policy: Policies.PolicyLayer = Policies.flat
) {
  const { run, settings } = yield* Workspace
  const { dataset } = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const history = historyOf(dataset, question)
  if (history instanceof CatalogError) return yield* history
  const { historyExcluded } = settings.evaluation

  return yield* Effect.gen(function*() {
    const parameters = yield* PolicyParameters
    const whole = (yield* Sids).space
    const space = historyExcluded ? LeafSpace.without(whole, history) : whole
    const checkpointer = yield* Checkpointer
    const loaded = (yield* TrainingState.loadBest(parameters, checkpointer, Group.kind, settings.grpo.optimizer)) ||
      (yield* TrainingState.loadBest(parameters, checkpointer, Supervised.kind, settings.sft.optimizer))
    if (!loaded) return yield* new RunError({ reason: new NoCheckpoint({ path: run, kind: Supervised.kind }) })
    const [ranked] = yield* (yield* LeafDecoder).decode(
      [{ prompt: Prompt.ofItems(history), count: question.count, space }],
      yield* parameters.evaluation
    )
    const answer: Answer = {
      history: Array.from(history, (item) => dataset.items[item]!.title),
      recommendations: PolicyRanking.rankedItems(space, ranked!).slice(0, question.count).map((
        { item, logProb }
      ) => ({
        item: dataset.items[item]!.key,
        title: dataset.items[item]!.title,
        probability: Math.exp(logProb),
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
