/**
 * Compares the run's policies with the baselines on the same users.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Dataset } from "../src/catalog/Dataset.ts"
import * as Shop from "../src/catalog/shop/Shop.ts"
import { type Example } from "../src/catalog/Split.ts"
import * as ItemKnn from "../src/evaluation/baseline/ItemKnn.ts"
import * as Popularity from "../src/evaluation/baseline/Popularity.ts"
import * as Scorer from "../src/evaluation/baseline/Scorer.ts"
import { type EvaluationRecord, type ModelRow } from "../src/evaluation/EvaluationRecord.ts"
import * as Evaluator from "../src/evaluation/Evaluator.ts"
import * as PolicyRanking from "../src/evaluation/PolicyRanking.ts"
import * as Protocol from "../src/evaluation/Protocol.ts"
import * as Group from "../src/grpo/Grpo.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { Progress } from "../src/run/Progress.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import * as Supervised from "../src/sft/Sft.ts"
import * as Trie from "../src/sid/trie/Trie.ts"
import * as Bootstrap from "../src/statistics/Bootstrap.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as EvaluationFiles from "./EvaluationFiles.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** A user of the report: what was known, what was recommended, what came. */
export const ExampleUser = Schema.Struct({
  user: Schema.String,
  history: Schema.Array(Schema.String),
  recommendations: Schema.Array(
    Schema.Struct({ title: Schema.String, logProb: Schema.Finite, hit: Schema.Boolean })
  ),
  truth: Schema.String
})

/** @see ExampleUser */
export type ExampleUser = typeof ExampleUser.Type

/** The phases whose policies are evaluated, in order. */
const phases = [Supervised.kind, Group.kind] as const

/** Evaluates and keeps the record. */
export const program = Effect.fn("evaluate")(function*(policy: Policies.PolicyLayer = Policies.flat) {
  const { keep, manifest, run, settings } = yield* Workspace
  const { dataset, split } = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const { historyExcluded } = settings.evaluation
  const examples = split.test
  const models: Array<ModelRow> = []
  const sidLevel: Array<ModelRow> = []
  const rankings = new Map<string, Evaluator.Ranking>()
  let invalid = 0
  let users: ReadonlyArray<ExampleUser> = []

  const add = (name: string, ranking: Evaluator.Ranking, seconds: number) => {
    rankings.set(name, ranking)
    models.push(Evaluator.row(name, ranking, dataset.items.length, seconds, settings.seed))
  }
  const baseline = (fit: () => Scorer.Scorer) =>
    timed(Effect.gen(function*() {
      const fitted = fit()
      return { name: fitted.name, ranking: yield* Evaluator.byScores(examples, fitted, historyExcluded) }
    })).pipe(Effect.map(({ seconds, value }) => add(value.name, value.ranking, seconds)))
  yield* baseline(() => Popularity.fit(split.train, dataset.items.length))
  yield* baseline(() => ItemKnn.fit(split.train, dataset.items.length))

  yield* Effect.gen(function*() {
    const parameters = yield* PolicyParameters
    const checkpointer = yield* Checkpointer
    const progress = yield* Progress
    let evaluated = 0
    for (const kind of phases) {
      if (!(yield* TrainingState.loadBest(parameters, checkpointer, kind, settings[kind].optimizer))) continue
      evaluated++
      const tracker = progress.start(`evaluate ${kind}`, examples.length, "users")
      const { seconds, value: ranked } = yield* timed(
        parameters.evaluation.pipe(
          Effect.flatMap((weights) =>
            PolicyRanking.rankAll(examples, weights, {
              beams: settings.evaluation.beams,
              historyExcluded,
              progress: (done) => tracker.update(done)
            })
          ),
          Effect.scoped
        )
      )
      tracker.finish()
      for (const { ranked: { leaves } } of ranked) {
        invalid += leaves.filter((leaf) => Trie.itemCount(index.trie, leaf) === 0).length
      }
      const lists = ranked.map((one) => PolicyRanking.rankedItems(one.space, one.ranked))
      const top = lists.map((list) => Int32Array.from(list.slice(0, Evaluator.listed), ({ item }) => item))
      add(kind, { ranks: ranked.map(({ item }) => item), top }, seconds)
      sidLevel.push(
        Evaluator.row(kind, { ranks: ranked.map(({ sid }) => sid), top }, dataset.items.length, seconds, settings.seed)
      )
      users = exampleUsers(dataset, examples, lists)
    }
    if (evaluated === 0) {
      return yield* new RunError({ reason: new NoCheckpoint({ path: run, kind: Supervised.kind }) })
    }
  }).pipe(Effect.provide(Policies.layer(policy, dataset, index)))
  if (invalid > 0) return yield* Effect.die(new Error(`${invalid} candidates are no item's SID; the trie is broken`))

  if (settings.data === undefined) {
    const oracle = dataset.oracle ?? Shop.generate(settings.shop, settings.seed).oracle!
    yield* baseline(() =>
      Scorer.make("oracle", dataset.items.length, ({ items, user }, row) => row.set(oracle.scores(user, items)))
    )
  }

  const record: EvaluationRecord = {
    dataset: (yield* manifest).name,
    protocol: {
      split: split.name,
      historyExcluded,
      repeatedTargets: Protocol.repeatedTargets(examples),
      ties: settings.filter.ties,
      collision: index.collisionPolicy
    },
    users: examples.length,
    items: dataset.items.length,
    invalid,
    beams: settings.evaluation.beams,
    models,
    sidLevel,
    differences: [["grpo", "sft"], ["sft", "item-knn"], ["grpo", "item-knn"]].flatMap(([a, b]) => {
      const [x, y] = [rankings.get(a!), rankings.get(b!)]
      if (x === undefined || y === undefined) return []
      const [left, right] = [Evaluator.perUserNdcg(x.ranks, 10), Evaluator.perUserNdcg(y.ranks, 10)]
      const mean = left.reduce((sum, value, user) => sum + value - right[user]!, 0) / Math.max(1, left.length)
      return [{
        name: `${a} - ${b}`,
        metric: "NDCG@10",
        difference: mean,
        ci95: Bootstrap.pairedInterval(left, right, settings.seed)
      }]
    })
  }
  yield* keep(EvaluationFiles.record.name, record, EvaluationFiles.record.codec)
  yield* keep(EvaluationFiles.examples.name, users, EvaluationFiles.examples.codec)
  return record
})

const timed = Effect.fnUntraced(function*<A, E, R>(work: Effect.Effect<A, E, R>) {
  const before = yield* Clock.currentTimeMillis
  const value = yield* work
  return { value, seconds: ((yield* Clock.currentTimeMillis) - before) / 1000 }
})

/** Ten users spread over the test users. */
const exampleUsers = (
  dataset: Dataset,
  examples: ReadonlyArray<Example>,
  lists: ReadonlyArray<ReturnType<typeof PolicyRanking.rankedItems>>
): ReadonlyArray<ExampleUser> => {
  const count = Math.min(10, examples.length)
  return Array.from({ length: count }, (_, i) => {
    const at = Math.floor(i * examples.length / count)
    const { history, target, user } = examples[at]!
    return {
      user: dataset.userKeys[user]!,
      history: Array.from(history.subarray(-10), (item) => dataset.items[item]!.title),
      recommendations: lists[at]!.slice(0, 10).map(({ item, logProb }) => ({
        title: dataset.items[item]!.title,
        logProb,
        hit: item === target
      })),
      truth: dataset.items[target]!.title
    }
  })
}

const names: Readonly<Record<string, string>> = { grpo: "GRPO", sft: "SFT", "item-knn": "ItemKNN" }

const signed = (value: number) => `${value < 0 ? "" : "+"}${value.toFixed(4)}`

/** What the record says in words: whether GRPO helped, and how the policy stands to the strongest baseline. */
export const verdict = (record: EvaluationRecord): ReadonlyArray<string> =>
  record.differences.map(({ ci95: [low, high], difference, metric, name }) => {
    const [a, b] = name.split(" - ").map((model) => names[model] ?? model)
    const figures = `${metric} ${signed(difference)}, 95 % interval [${signed(low)}, ${signed(high)}]`
    return low > 0
      ? `${a} is better than ${b}: ${figures}.`
      : high < 0
      ? `${a} is worse than ${b}: ${figures}.`
      : a === "GRPO"
      ? `${a} did not raise ${metric} over ${b}: ${figures}, which includes no difference.`
      : `${a} and ${b} cannot be told apart: ${figures}.`
  })
