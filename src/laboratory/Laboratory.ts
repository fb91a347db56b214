/**
 * Comparison of tokenizers before any policy is trained, and the rule that recommends one.
 */
import * as Schema from "effect/Schema"
import { type Dataset } from "../catalog/Dataset.ts"
import { type Split } from "../catalog/Split.ts"
import * as Evaluator from "../evaluation/Evaluator.ts"
import * as Diagnostics from "../sid/Diagnostics.ts"
import { type Diagnosis } from "../sid/Quantizer.ts"
import { type SidIndex } from "../sid/SidIndex.ts"
import * as Bootstrap from "../statistics/Bootstrap.ts"
import * as Gini from "../statistics/Gini.ts"
import * as Random from "../statistics/Random.ts"
import * as Neighbourhood from "./Neighbourhood.ts"
import * as SidNgram from "./SidNgram.ts"

/** Result of a tokenizer. */
export interface Specimen {
  readonly name: string
  /** Settings of the tokenizer, for display. */
  readonly id: string
  /** Time of training and encoding, in seconds. */
  readonly seconds: number
  /** Codes of each item before the collision policy, [N][L]. */
  readonly codes: ReadonlyArray<Int32Array>
  readonly diagnosis: Diagnosis
  /** Index of the SIDs after the collision policy. */
  readonly index: SidIndex
}

/** Metrics of a count-based model over SIDs (`SidNgram`) on validation targets. */
export const Prediction = Schema.Struct({
  users: Schema.Int,
  /** Mean negative log-probability of a target item, in bits. */
  bits: Schema.Finite,
  hr10: Schema.Finite,
  ndcg10: Schema.Finite,
  ndcg10Interval: Schema.Tuple([Schema.Finite, Schema.Finite])
})

/** @see Prediction */
export type Prediction = typeof Prediction.Type

/** Measurements of one tokenizer. */
export const Entry = Schema.Struct({
  name: Schema.String,
  id: Schema.String,
  seconds: Schema.Finite,
  items: Schema.Int,
  /** (N - distinct codes) / N, before the collision policy. */
  collisionRate: Schema.Finite,
  /** Share of training events whose item shares its codes with another item, before the collision policy. */
  collidingEvents: Schema.Finite,
  /** Share of test targets whose item shares its codes with another item, before the collision policy. */
  collidingTargets: Schema.Finite,
  meanSquaredError: Schema.Finite,
  varianceLeft: Schema.Finite,
  levels: Schema.Array(Diagnostics.LevelUse),
  /** Gini coefficient of the items per code of the first level: 0 when all codes have equally many. */
  gini: Schema.Finite,
  collisionPolicy: Schema.String,
  /** Share of items whose codes the collision policy changed. */
  moved: Schema.Finite,
  /** Number of distinct SIDs after the collision policy. */
  distinct: Schema.Int,
  nodes: Schema.Array(Schema.Int),
  branching: Schema.Array(Schema.Finite),
  agreement: Schema.Array(Neighbourhood.Agreement),
  prediction: Prediction
})

/** @see Entry */
export type Entry = typeof Entry.Type

/** Largest number of validation users. */
const mostUsers = 1000

/** Draws the validation examples that every tokenizer is measured on, at most 1,000; a function of the seed. */
export const questions = (split: Split, seed: number): Split["validation"] => {
  const order = Random.permutation(split.validation.length, seed, 0x1ab).slice(0, mostUsers).toSorted()
  return Array.from(order, (at) => split.validation[at]!)
}

/** Measurements of one tokenizer, with the NDCG@10 of every validation user. */
export interface Measured {
  readonly entry: Entry
  readonly perUser: Float64Array
}

/** Measures one tokenizer; `seed` selects the validation users, the pairs and the bootstrap resamples. */
export const measure = (specimen: Specimen, dataset: Dataset, split: Split, seed: number): Measured => {
  const { codes, diagnosis, index } = specimen
  const asked = questions(split, seed)
  const model = SidNgram.fit(index, split.train)
  let surprise = 0
  const ranking = Evaluator.byRows(asked, ({ history, target }) => {
    const scores = model.scores(history)
    surprise -= Math.log2(scores[target]!)
    return scores
  }, true)
  const { name, seconds } = specimen
  const row = Evaluator.row({ name, ranking, items: dataset.items.length, seconds, seed })

  const shares = new Uint8Array(codes.length)
  for (const group of Diagnostics.groups(codes)) if (group.length > 1) { for (const item of group) shares[item] = 1 }
  let [events, colliding] = [0, 0]
  for (const sequence of split.train) {
    events += sequence.length
    for (const item of sequence) colliding += shares[item]!
  }
  const first = new Float64Array(diagnosis.levels[0]?.codes ?? 0)
  for (const sid of codes) first[sid[0]!]!++
  const shape = Diagnostics.shape(index.trie)
  const after = Diagnostics.measure(index.sids, index.codebookSizes)
  return {
    perUser: Evaluator.perUserNdcg(ranking.ranks, 10),
    entry: {
      name: specimen.name,
      id: specimen.id,
      seconds: specimen.seconds,
      items: codes.length,
      collisionRate: diagnosis.collisionRate,
      collidingEvents: colliding / Math.max(1, events),
      collidingTargets: split.test.filter(({ target }) => shares[target] === 1).length / Math.max(1, split.test.length),
      meanSquaredError: diagnosis.meanSquaredError,
      varianceLeft: diagnosis.varianceLeft,
      levels: diagnosis.levels,
      gini: Gini.of(first),
      collisionPolicy: index.collisionPolicy,
      moved: index.sids.filter((sid, item) => String(sid) !== String(codes[item])).length / Math.max(1, codes.length),
      distinct: after.distinct,
      nodes: shape.nodes,
      branching: shape.branching.slice(0, -1),
      agreement: Neighbourhood.measure(index, dataset.items, split.train, seed),
      prediction: {
        users: asked.length,
        bits: surprise / Math.max(1, asked.length),
        hr10: row.metrics["HR@10"]!,
        ndcg10: row.metrics["NDCG@10"]!,
        ndcg10Interval: row.ci95["NDCG@10"]!
      }
    }
  }
}

/** Names of the control tokenizers, baselines whose codes do not depend on item content. */
export const controls: ReadonlySet<string> = new Set(["random", "hash", "popularity"])

/** Recommended tokenizer, with the rule and the reasons. */
export interface Recommendation {
  readonly name: string
  readonly rule: string
  readonly reasons: ReadonlyArray<string>
}

/** Description of the rule. */
export const rule =
  "Of the tokenizers except the controls, find the one whose codes predict the next item of validation users best in a " +
  "count-based model (NDCG@10). Tokenizers are equivalent to it if the 95 % interval of the paired difference includes 0. " +
  "Of these, the one with the lowest collision rate before the collision policy is recommended; ties go to the one that " +
  "loses the smallest share of the embeddings' variance."

/** Recommends one of the measured tokenizers; undefined where all are controls. */
export const recommend = (measured: ReadonlyArray<Measured>, seed: number): Recommendation | undefined => {
  const candidates = measured.filter(({ entry }) => !controls.has(entry.name))
  const best = candidates.toSorted((a, b) => b.entry.prediction.ndcg10 - a.entry.prediction.ndcg10)[0]
  if (best === undefined) return undefined
  const equals = candidates.filter((one) =>
    one === best || Bootstrap.pairedInterval(best.perUser, one.perUser, seed)[0] <= 0
  )
  const chosen = equals.toSorted((a, b) =>
    a.entry.collisionRate - b.entry.collisionRate || a.entry.varianceLeft - b.entry.varianceLeft
  )[0]!
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`
  const reasons = [
    `${best.entry.name} predicts best: NDCG@10 ${best.entry.prediction.ndcg10.toFixed(4)}` +
    (equals.length === 1
      ? ", and no other is equivalent to it."
      : `; equivalent to it: ${
        equals.filter((one) => one !== best).map(({ entry }) => `${entry.name} ${entry.prediction.ndcg10.toFixed(4)}`)
          .join(", ")
      }.`),
    `${chosen.entry.name} has ${percent(chosen.entry.collisionRate)} collisions and loses ${
      percent(chosen.entry.varianceLeft)
    } of the variance.`
  ]
  for (const { entry, perUser } of measured.filter(({ entry }) => controls.has(entry.name))) {
    if (Bootstrap.pairedInterval(chosen.perUser, perUser, seed)[0] <= 0) {
      reasons.push(
        `Warning: the control ${entry.name} (NDCG@10 ${
          entry.prediction.ndcg10.toFixed(4)
        }) predicts as well, so on these ` +
          `data the embeddings say little about the next item.`
      )
    }
  }
  return { name: chosen.entry.name, rule, reasons }
}
