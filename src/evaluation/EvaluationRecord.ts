/**
 * The result of an evaluation, as printed by `sidereal evaluate --json` and kept in a run.
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
  name: Schema.String,
  metrics: Metrics,
  ci95: Intervals,
  /** HR@10 and NDCG@10 of each slice of the record. @default {} */
  slices: Schema.Record(Schema.String, Metrics).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** Share of the catalogue that appears in some top ten. */
  coverage: Schema.Finite,
  /** Gini coefficient of the items' counts in the top 10: 0 when all are equal, near 1 when one item has all. */
  gini: Schema.Finite,
  /** Wall-clock seconds of ranking; models that are ranked together share theirs evenly. */
  seconds: Schema.Finite
})

/** @see ModelRow */
export type ModelRow = typeof ModelRow.Type

const Rows = Schema.Array(ModelRow)
const laterRows = Rows.pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))

/** A part of the test users that every row measures apart. */
const SliceSize = Schema.Struct({
  name: Schema.String,
  users: Schema.Int,
  /** Least and most training events of the targets, where it is a slice of popularity with users in it. */
  counts: Schema.optionalKey(Schema.Tuple([Schema.Int, Schema.Int]))
})

/** Weights of a prior beside one policy, by validation. */
export const WeightChoice = Schema.Struct({
  /** Phase of the policy: `sft`, `grpo`. */
  phase: Schema.String,
  /** Step of its checkpoint. */
  step: Schema.Int,
  /** NDCG@10 of every weight; the first is 0, the policy alone. */
  weights: Schema.Array(Schema.Struct({ weight: Schema.Finite, ndcg: Schema.Finite })),
  /** The best weight above 0. */
  weight: Schema.Finite
})

/** @see WeightChoice */
export type WeightChoice = typeof WeightChoice.Type

/** A prior beside the policies, its weights, and what `recommend` ranks with. */
export const Fusion = Schema.Struct({
  /** The scorer that the prior is made of. */
  scorer: Schema.String,
  /** Part of the prior's mass that is spread evenly over all items. */
  share: Schema.Finite,
  /** Validation users that chose. */
  users: Schema.Int,
  /** Whether their history was excluded. */
  historyExcluded: Schema.Boolean,
  choices: Schema.Array(WeightChoice),
  /** The best of all by validation: a policy alone where the weight is 0. */
  best: Schema.Struct({ phase: Schema.String, weight: Schema.Finite, ndcg: Schema.Finite })
})

/** @see Fusion */
export type Fusion = typeof Fusion.Type

/** Returns the name of the row of a policy alone, or with a prior. */
export const rowName = (phase: string, scorer?: string | undefined): string =>
  scorer === undefined ? phase : `${phase} + ${scorer}`

/** A paired difference between two models on the same users. */
const Difference = Schema.Struct({
  /** Names of the two rows with " - " between them. */
  name: Schema.String,
  metric: Schema.String,
  difference: Schema.Finite,
  ci95: Schema.Tuple([Schema.Finite, Schema.Finite])
})

/** @see Difference */
export type Difference = typeof Difference.Type

const Differences = Schema.Array(Difference)

/** The whole record. Fields with a default are missing in older ones. */
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
  /** Rows with the history as the protocol says. */
  models: Rows,
  /** Rows with the history kept, where `models` exclude it. @default [] */
  kept: laterRows,
  /** Rows with the history excluded, where `models` keep it. @default [] */
  excluded: laterRows,
  /** Parts of the users that the rows measure apart. @default [] */
  slices: Schema.Array(SliceSize).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  /** The same with a hit for every item of the right SID, as most published numbers count. */
  sidLevel: Rows,
  /** Paired differences in NDCG@10 and HR@50, with the history as the protocol says. */
  differences: Differences,
  /** The same differences between the rows of the other history mode. @default [] */
  otherDifferences: Differences.pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  /** Absent in older records. */
  fusion: Schema.optionalKey(Fusion)
})

/** @see EvaluationRecord */
export type EvaluationRecord = typeof EvaluationRecord.Type

/** Returns a phrase that says whether the history was excluded and how many targets this makes misses. */
export const describeHistory = (
  { protocol: { historyExcluded, repeatedTargets }, users }: EvaluationRecord
): string => {
  if (!historyExcluded) return "history kept"
  if (repeatedTargets === 0) return "history excluded"
  const [stand, count] = repeatedTargets === 1 ? ["stands", "counts"] : ["stand", "count"]
  const [some, all] = [repeatedTargets, users].map((number) => number.toLocaleString("en"))
  return `history excluded: ${some} of ${all} targets ${stand} in the history and ${count} as a miss`
}

/** Returns the rows of the history mode that the protocol does not name, with that mode in words; none in older records. */
export const otherMode = (
  { excluded, kept, protocol: { historyExcluded } }: EvaluationRecord
): { readonly history: string; readonly rows: ReadonlyArray<ModelRow> } =>
  historyExcluded ? { history: "history kept", rows: kept } : { history: "history excluded", rows: excluded }
