/**
 * Result of an evaluation, as printed by `sidereal evaluate --json` and kept in a run.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Metrics = Schema.Record(Schema.String, Schema.Finite)
const Intervals = Schema.Record(Schema.String, Schema.Tuple([Schema.Finite, Schema.Finite]))

/**
 * Results of one model on the test users. Metrics are item-level: where items share a SID, a metric is the expectation
 * over a uniformly random order of these items.
 */
export const ModelRow = Schema.Struct({
  /** Name of the model. */
  name: Schema.String,
  /** Metrics by name, such as `NDCG@10`: means over the users, 0 to 1. */
  metrics: Metrics,
  /** 95 % bootstrap intervals of metrics by name. */
  ci95: Intervals,
  /** HR@10 and NDCG@10 of each slice of the record. @default {} */
  slices: Schema.Record(Schema.String, Metrics).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** Share of the catalogue that appears in the top 10 of any user, 0 to 1. */
  coverage: Schema.Finite,
  /** Gini coefficient of the items' counts in the top 10: 0 when all are equal, near 1 when one item has all. */
  gini: Schema.Finite,
  /** Wall-clock seconds of ranking; the time of models that are ranked together is divided equally among them. */
  seconds: Schema.Finite
})

/** @see ModelRow */
export type ModelRow = typeof ModelRow.Type

const Rows = Schema.Array(ModelRow)
const laterRows = Rows.pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))

/** Group of test users for which every row has separate metrics. */
const SliceSize = Schema.Struct({
  name: Schema.String,
  users: Schema.Int,
  /** Fewest and most training events of the targets, for a popularity slice that is not empty. */
  counts: Schema.optionalKey(Schema.Tuple([Schema.Int, Schema.Int]))
})

/** Weights of a prior added to one policy, with their validation results. */
export const WeightChoice = Schema.Struct({
  /** Phase of the policy: `sft`, `grpo`. */
  phase: Schema.String,
  /** Step of the policy's checkpoint. */
  step: Schema.Int,
  /** Validation NDCG@10 of every weight; the first weight is 0, the policy alone. */
  weights: Schema.Array(Schema.Struct({ weight: Schema.Finite, ndcg: Schema.Finite })),
  /** Best weight above 0. */
  weight: Schema.Finite
})

/** @see WeightChoice */
export type WeightChoice = typeof WeightChoice.Type

/** Prior added to the policies: its weights, and the model with which `recommend` ranks. */
export const Fusion = Schema.Struct({
  /** Name of the scorer on which the prior is built. */
  scorer: Schema.String,
  /** Share of the prior's mass that is uniform over all items, 0 to 1. */
  share: Schema.Finite,
  /** Number of validation users on which the weights were chosen. */
  users: Schema.Int,
  /** Whether items of their history were excluded. */
  historyExcluded: Schema.Boolean,
  /** Weights of each policy. */
  choices: Schema.Array(WeightChoice),
  /** Best model by validation NDCG@10; weight 0 is the policy alone. */
  best: Schema.Struct({ phase: Schema.String, weight: Schema.Finite, ndcg: Schema.Finite })
})

/** @see Fusion */
export type Fusion = typeof Fusion.Type

/** Returns the name of the row of a policy, alone or with the prior of a scorer. */
export const rowName = (phase: string, scorer?: string | undefined): string =>
  scorer === undefined ? phase : `${phase} + ${scorer}`

/** Name of the row of the control of GRPO: the supervised policy that was trained further for as long. */
export const continuedName = "sft continued"

/** Returns the name of the row of a policy's item head. */
export const itemHeadName = (phase: string): string => `${phase} item head`

/** Paired difference between two models on the same users. */
const Difference = Schema.Struct({
  /** Names of the two rows with " - " between them. */
  name: Schema.String,
  metric: Schema.String,
  difference: Schema.Finite,
  ci95: Schema.Tuple([Schema.Finite, Schema.Finite])
})

/** Paired difference between two models on the same users, with its 95 % bootstrap interval. */
export type Difference = typeof Difference.Type

const Differences = Schema.Array(Difference)

/** Record of an evaluation. Fields with a default are absent in records of older versions. */
export const EvaluationRecord = Schema.Struct({
  dataset: Schema.String,
  protocol: Schema.Struct({
    split: Schema.String,
    historyExcluded: Schema.Boolean,
    /** Number of test targets that occur in their own history: misses of every model if excluded. @default 0 */
    repeatedTargets: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
    ties: Schema.String,
    collision: Schema.String
  }),
  users: Schema.Int,
  items: Schema.Int,
  /** Number of candidates outside the catalogue; any value but 0 is a defect. */
  invalid: Schema.Int,
  beams: Schema.Int,
  /** Rows in the history mode of the protocol. */
  models: Rows,
  /** Rows with the history kept, where `models` exclude it. @default [] */
  kept: laterRows,
  /** Rows with the history excluded, where `models` keep it. @default [] */
  excluded: laterRows,
  /** Groups of users for which the rows have separate metrics. @default [] */
  slices: Schema.Array(SliceSize).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  /** Rows of `models` in which every item with the target's SID is a hit, the convention of most published numbers. */
  sidLevel: Rows,
  /** Paired differences in NDCG@10 and HR@50, in the history mode of the protocol. */
  differences: Differences,
  /** The same differences between the rows of the other history mode. @default [] */
  otherDifferences: Differences.pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  /** Prior and the model chosen by validation; absent in records of older versions. */
  fusion: Schema.optionalKey(Fusion)
})

/** @see EvaluationRecord */
export type EvaluationRecord = typeof EvaluationRecord.Type

/** Describes whether the history was excluded, and how many targets are misses for this reason. */
export const describeHistory = (
  { protocol: { historyExcluded, repeatedTargets }, users }: EvaluationRecord
): string => {
  if (!historyExcluded) return "history kept"
  if (repeatedTargets === 0) return "history excluded"
  const [stand, count] = repeatedTargets === 1 ? ["stands", "counts"] : ["stand", "count"]
  const [some, all] = [repeatedTargets, users].map((number) => number.toLocaleString("en"))
  return `history excluded: ${some} of ${all} targets ${stand} in the history and ${count} as a miss`
}

/**
 * Returns the rows of the history mode other than the protocol's, with a description of the mode; none in older
 * records.
 */
export const otherMode = (
  { excluded, kept, protocol: { historyExcluded } }: EvaluationRecord
): { readonly history: string; readonly rows: ReadonlyArray<ModelRow> } =>
  historyExcluded ? { history: "history kept", rows: kept } : { history: "history excluded", rows: excluded }
