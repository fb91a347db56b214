/**
 * Compares the run's policies with the baselines on the same users.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type Dataset } from "../src/catalog/Dataset.ts"
import * as Shop from "../src/catalog/shop/Shop.ts"
import { type Example } from "../src/catalog/Split.ts"
import type * as Prior from "../src/decode/Prior.ts"
import * as ItemHeadScorer from "../src/evaluation/baseline/ItemHeadScorer.ts"
import * as Popularity from "../src/evaluation/baseline/Popularity.ts"
import * as SasRecScorer from "../src/evaluation/baseline/sasrec/SasRecScorer.ts"
import * as Scorer from "../src/evaluation/baseline/Scorer.ts"
import * as EvaluationRecord from "../src/evaluation/EvaluationRecord.ts"
import { type ModelRow, type WeightChoice } from "../src/evaluation/EvaluationRecord.ts"
import * as Evaluator from "../src/evaluation/Evaluator.ts"
import * as PolicyRanking from "../src/evaluation/PolicyRanking.ts"
import * as PriorWeight from "../src/evaluation/PriorWeight.ts"
import * as Protocol from "../src/evaluation/Protocol.ts"
import type * as Rank from "../src/evaluation/Rank.ts"
import * as Slices from "../src/evaluation/Slices.ts"
import * as Group from "../src/grpo/Grpo.ts"
import { PolicyModel, type Weights } from "../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { Progress } from "../src/run/Progress.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import * as Supervised from "../src/sft/Sft.ts"
import * as Trie from "../src/sid/trie/Trie.ts"
import * as Bootstrap from "../src/statistics/Bootstrap.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as EvaluationFiles from "./EvaluationFiles.ts"
import * as Fusion from "./Fusion.ts"
import * as Note from "./Note.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as RankingModels from "./RankingModels.ts"
import * as RunSasRec from "./RunSasRec.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** User of the report: the history, the recommendations and the target. */
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

/** Number of examples whose lists are in memory at once. */
const together = 1024

/** Evaluates the run's policies and keeps the record. */
export const program = Effect.fn("evaluate")(function*(policy: Policies.PolicyLayer = Policies.chosen) {
  const { keep, manifest, run, settings } = yield* Workspace
  const progress = yield* Progress
  const prepared = yield* Prepare.program()
  const { dataset, split } = prepared
  const { index } = yield* Tokenize.program()
  const { baselines, beams, fusionUsers, fusionWeights, historyExcluded, prior } = settings.evaluation
  const examples = split.test
  const items = dataset.items.length
  const slices = Slices.all(examples, split.train, items)
  const sides = [historyExcluded, !historyExcluded].map((excluded): Side => ({
    excluded,
    models: [],
    rankings: new Map()
  }))
  const sidLevel: Array<ModelRow> = []
  let invalid = 0
  let users: ReadonlyArray<ExampleUser> = []

  const rowOf = (name: string, ranking: Evaluator.Ranking, seconds: number, longest?: number) =>
    Evaluator.row({ name, ranking, items, seconds, seed: settings.seed, longest, slices })
  const add = (side: Side, name: string, ranking: Evaluator.Ranking, seconds: number, longest?: number) => {
    side.rankings.set(name, ranking)
    side.models.push(rowOf(name, ranking, seconds, longest))
  }
  /** Ranks the test users by a scorer, in both history modes. */
  const byScores = Effect.fnUntraced(function*(fit: () => Scorer.Scorer) {
    const { seconds, value: { rankings, scorer } } = yield* timed(Effect.gen(function*() {
      const scorer = fit()
      const tracker = progress.part(`evaluate ${scorer.name}`, examples.length, "users")
      const modes = sides.map(({ excluded }) => excluded)
      const rankings = yield* Evaluator.byScoresEach(examples, scorer, modes, tracker.update)
      tracker.finish()
      return { scorer, rankings }
    }))
    for (const [at, side] of sides.entries()) add(side, scorer.name, rankings[at]!, seconds / sides.length)
    return scorer
  })
  yield* byScores(() => Popularity.fit(split.train, items))
  const itemKnn = yield* byScores(() => Fusion.itemKnn(split, items))
  const isAsked = prior === "sasrec" || baselines.includes("sasrec")
  const trained = isAsked ? yield* RunSasRec.train(prepared) : undefined
  const sasRec = trained === undefined ? undefined : yield* byScores(() => trained)
  const scorer = prior === "sasrec" && sasRec !== undefined ? sasRec : itemKnn
  const choices: Array<WeightChoice> = []

  yield* Effect.gen(function*() {
    const parameters = yield* PolicyParameters
    const checkpointer = yield* Checkpointer
    const sample = TrainingState.sample(split.validation, fusionUsers, settings.seed)

    /** Ranks the test users by a policy alone and, if it has one, with its prior, in both history modes. */
    const rank = Effect.fnUntraced(function*(kind: string, weights: Weights, prior?: Prior.Prior) {
      const variants = sides.flatMap((side) => [
        { side, name: kind, historyExcluded: side.excluded, prior: undefined },
        ...(prior === undefined
          ? []
          : [{ side, name: EvaluationRecord.rowName(kind, scorer.name), historyExcluded: side.excluded, prior }])
      ])
      const results = variants.map((variant) => ({ ...variant, ranks: [], sids: [], top: [] } as VariantResult))
      const lists: Array<ReturnType<typeof PolicyRanking.rankedItems>> = []
      const tracker = progress.start(`evaluate ${kind}`, examples.length, "users")
      const { seconds } = yield* timed(Effect.gen(function*() {
        for (let from = 0; from < examples.length; from += together) {
          const ranked = yield* PolicyRanking.rankEach(examples.slice(from, from + together), weights, variants, {
            beams,
            progress: (done) => tracker.update(from + done)
          })
          for (const [at, result] of results.entries()) {
            for (const { item, ranked: found, sid, space } of ranked[at]!) {
              invalid += found.leaves.filter((leaf) => Trie.itemCount(index.trie, leaf) === 0).length
              const list = PolicyRanking.rankedItems(space, found)
              result.ranks.push(item)
              result.sids.push(sid)
              result.top.push(Int32Array.from(list.slice(0, Evaluator.listed), (one) => one.item))
              if (at === 0) lists.push(list)
            }
          }
        }
      }))
      tracker.finish()
      for (const { name, ranks, side, sids, top } of results) {
        const share = seconds / results.length
        add(side, name, { ranks, top }, share, beams)
        if (side === sides[0]) sidLevel.push(rowOf(name, { ranks: sids, top }, share, beams))
      }
      return lists
    })

    /**
     * Ranks the test users by a policy's item head, alone and with the scorer at the weight chosen by validation; `step`
     * is that of the policy's checkpoint.
     */
    const rankItems = Effect.fnUntraced(function*(phase: string, step: number, weights: Weights) {
      const { scoreItems } = yield* PolicyModel
      if (Option.isNone(scoreItems)) return
      const name = EvaluationRecord.itemHeadName(phase)
      const head = yield* byScores(() => ItemHeadScorer.make(name, scoreItems.value, weights))
      const chosen = yield* Fusion.weighItemHead(sample, head, scorer, fusionWeights, historyExcluded)
      choices.push({ phase: name, step, ...chosen })
      yield* byScores(() => Fusion.withItemHead(head, scorer, chosen.weight))
    })

    /** Ranks the test users by the control of GRPO, alone, if it went on from the supervised policy as it is. */
    const rankControl = Effect.gen(function*() {
      const best = yield* checkpointer.best(Supervised.continued)
      if (best === undefined) return
      if (TrainingState.isStale(best.meta, (yield* checkpointer.best(Supervised.kind))?.step)) {
        return yield* Note.print(`the control went on from another policy of sft; \`sidereal control\` restarts it`)
      }
      yield* TrainingState.loadFinal(parameters, checkpointer, Supervised.continued, settings.sft.optimizer)
      yield* rank(EvaluationRecord.continuedName, yield* parameters.evaluation)
    }).pipe(Effect.scoped)

    for (const phase of RankingModels.phases) {
      if (phase === Group.kind) yield* rankControl
      const step = yield* TrainingState.loadFinal(parameters, checkpointer, phase, settings[phase].optimizer)
      if (step === undefined) continue
      yield* Effect.scoped(Effect.gen(function*() {
        const weights = yield* parameters.evaluation
        const tracker = progress.start(`weigh ${scorer.name} beside ${phase}`, sample.length, "users")
        const chosen = yield* PriorWeight.choose(sample, weights, Fusion.prior(scorer, 1), fusionWeights, {
          beams,
          historyExcluded,
          progress: (done) => tracker.update(done)
        })
        tracker.finish(`weight ${chosen.weight}`)
        choices.push({ phase, step, ...chosen })
        users = exampleUsers(
          dataset,
          examples,
          yield* rank(phase, weights, Fusion.prior(scorer, chosen.weight))
        )
        yield* rankItems(phase, step, weights)
      }))
    }
  }).pipe(Effect.provide(Policies.layer(policy, dataset, index)))
  const fusion = Fusion.decide(choices, {
    scorer: scorer.name,
    users: Math.min(fusionUsers, split.validation.length),
    historyExcluded
  })
  if (fusion === undefined) {
    return yield* new RunError({ reason: new NoCheckpoint({ path: run, kind: Supervised.kind }) })
  }
  if (invalid > 0) {
    return yield* Effect.die(new Error(`${invalid} candidates have a SID of no item; this is a defect of the trie`))
  }

  if (settings.data === undefined) {
    const oracle = dataset.oracle ?? Shop.generate(settings.shop, settings.seed).oracle!
    yield* byScores(() => Scorer.make("oracle", items, ({ items, user }, row) => row.set(oracle.scores(user, items))))
  }

  const [own, other] = sides.map((side) => ({
    models: inOrder(side.models),
    differences: differences(side.rankings, scorer.name, beams, settings.seed)
  })) as [Compared, Compared]
  const record: EvaluationRecord.EvaluationRecord = {
    dataset: (yield* manifest).name,
    protocol: {
      split: split.name,
      historyExcluded,
      repeatedTargets: Protocol.repeatedTargets(examples),
      ties: settings.filter.ties,
      collision: index.collisionPolicy
    },
    users: examples.length,
    items,
    invalid,
    beams,
    models: own.models,
    kept: historyExcluded ? other.models : [],
    excluded: historyExcluded ? [] : other.models,
    slices: slices.map(({ counts, examples, name }) => ({
      name,
      users: examples.length,
      ...(counts === undefined ? {} : { counts })
    })),
    sidLevel: inOrder(sidLevel),
    differences: own.differences,
    otherDifferences: other.differences,
    fusion
  }
  yield* keep(EvaluationFiles.record.name, record, EvaluationFiles.record.codec)
  yield* keep(EvaluationFiles.examples.name, users, EvaluationFiles.examples.codec)
  return record
}, Effect.scoped)

/** Rows and rankings of one history mode during the evaluation. */
interface Side {
  readonly excluded: boolean
  readonly models: Array<ModelRow>
  readonly rankings: Map<string, Evaluator.Ranking>
}

/** Rows and differences of one history mode in the record. */
interface Compared {
  readonly models: ReadonlyArray<ModelRow>
  readonly differences: ReadonlyArray<EvaluationRecord.Difference>
}

/** Ranks and lists of one variant, by user. */
interface VariantResult {
  readonly side: Side
  readonly name: string
  readonly ranks: Array<Rank.Rank>
  readonly sids: Array<Rank.Rank>
  readonly top: Array<Int32Array>
}

/** Sorts rows for display: models alone, then those with a prior, then the oracle. */
const inOrder = (rows: ReadonlyArray<ModelRow>): ReadonlyArray<ModelRow> => {
  const place = ({ name }: ModelRow) => name === "oracle" ? 2 : name.includes(" + ") ? 1 : 0
  return rows.toSorted((a, b) => place(a) - place(b))
}

/**
 * Computes paired differences: each phase minus the previous one, minus the prior's scorer and minus SASRec, each fused
 * model minus the scorer.
 */
const differences = (
  rankings: ReadonlyMap<string, Evaluator.Ranking>,
  scorer: string,
  beams: number,
  seed: number
): ReadonlyArray<EvaluationRecord.Difference> => {
  const fused = (phase: string) => EvaluationRecord.rowName(phase, scorer)
  const pairs = [
    [Group.kind, Supervised.kind],
    [EvaluationRecord.continuedName, Supervised.kind],
    [Group.kind, EvaluationRecord.continuedName],
    [Supervised.kind, scorer],
    [Group.kind, scorer],
    ...(scorer === SasRecScorer.name
      ? []
      : [[Supervised.kind, SasRecScorer.name], [Group.kind, SasRecScorer.name]] as const),
    [fused(Supervised.kind), scorer],
    [EvaluationRecord.itemHeadName(Supervised.kind), Supervised.kind],
    [fused(Group.kind), scorer],
    [fused(Group.kind), fused(Supervised.kind)]
  ] as const
  return pairs.flatMap(([a, b]) => {
    const [x, y] = [rankings.get(a), rankings.get(b)]
    if (x === undefined || y === undefined) return []
    const metrics = [
      { metric: "NDCG@10", perUser: (ranking: Evaluator.Ranking) => Evaluator.perUserNdcg(ranking.ranks, 10) },
      ...(beams < 50
        ? []
        : [{ metric: "HR@50", perUser: (ranking: Evaluator.Ranking) => Evaluator.perUserHits(ranking.ranks, 50) }])
    ]
    return metrics.map(({ metric, perUser }) => {
      const [left, right] = [perUser(x), perUser(y)]
      return {
        name: `${a} - ${b}`,
        metric,
        difference: left.reduce((sum, value, user) => sum + value - right[user]!, 0) / Math.max(1, left.length),
        ci95: Bootstrap.pairedInterval(left, right, seed)
      }
    })
  })
}

const timed = Effect.fnUntraced(function*<A, E, R>(work: Effect.Effect<A, E, R>) {
  const before = yield* Clock.currentTimeMillis
  const value = yield* work
  return { value, seconds: ((yield* Clock.currentTimeMillis) - before) / 1000 }
})

/** Selects ten users, evenly spaced among the test users. */
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

const names: Readonly<Record<string, string>> = {
  grpo: "GRPO",
  sft: "SFT",
  [EvaluationRecord.continuedName]: "SFT continued",
  "item-knn": "ItemKNN",
  sasrec: "SASRec"
}

const itemHead = EvaluationRecord.itemHeadName("")

const nameOf = (row: string) =>
  row.split(" + ").map((model) =>
    model.endsWith(itemHead)
      ? `${names[model.slice(0, -itemHead.length)] ?? model}'s item head`
      : names[model] ?? model
  ).join(" + ")

const signed = (value: number) => `${value < 0 ? "" : "+"}${value.toFixed(4)}`

const figures = ({ ci95: [low, high], difference, metric }: EvaluationRecord.Difference) =>
  `${metric} ${signed(difference)}, 95 % interval [${signed(low)}, ${signed(high)}]`

/**
 * Describes a record in sentences: the effect of GRPO, the policies compared with the strongest baseline, alone and
 * with the prior, and the model with which `recommend` ranks. NDCG@10 decides; HR@50 is reported in addition.
 */
export const verdict = (record: EvaluationRecord.EvaluationRecord): ReadonlyArray<string> => [
  ...record.differences.filter(({ metric }) => metric === "NDCG@10").map((found) => {
    const { ci95: [low, high], metric, name } = found
    const [a, b] = name.split(" - ").map(nameOf) as [string, string]
    const wide = record.differences.filter((one) => one.name === name && one !== found).map((one) =>
      ` ${figures(one)}.`
    ).join("")
    return (low > 0
      ? `${a} is better than ${b}: ${figures(found)}.`
      : high < 0
      ? `${a} is worse than ${b}: ${figures(found)}.`
      : a === "GRPO"
      ? `${a} did not raise ${metric} over ${b}: ${figures(found)}, which includes no difference.`
      : `${a} and ${b} cannot be told apart: ${figures(found)}.`) + wide
  }),
  ...(record.fusion === undefined ? [] : [Fusion.describe(record.fusion)])
]
