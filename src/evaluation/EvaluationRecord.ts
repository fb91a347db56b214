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
  /** Share of the catalogue, 0 to 1, that appears in at least one top 10. */
  coverage: Schema.Finite,
  /** Gini coefficient of the items' counts in the top 10: 0 when all are equal, near 1 when one item has all. */
  gini: Schema.Finite,
  /** Time of the evaluation, in seconds. */
  seconds: Schema.Finite
})

/** @see ModelRow */
export type ModelRow = typeof ModelRow.Type

/** Record of an evaluation. */
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
  models: Schema.Array(ModelRow),
  /** The same models with a hit for any item of the target's SID, as in most published results. */
  sidLevel: Schema.Array(ModelRow),
  /** Paired differences in NDCG@10 between consecutive phases, with 95 % intervals. */
  differences: Schema.Array(Schema.Struct({
    name: Schema.String,
    metric: Schema.String,
    difference: Schema.Finite,
    ci95: Schema.Tuple([Schema.Finite, Schema.Finite])
  }))
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
