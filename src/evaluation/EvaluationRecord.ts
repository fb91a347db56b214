/**
 * The result of an evaluation, as printed by `sidereal evaluate --json` and kept in a run.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Metrics = Schema.Record(Schema.String, Schema.Finite)
const Intervals = Schema.Record(Schema.String, Schema.Tuple([Schema.Finite, Schema.Finite]))

/** One model on the test users. Metrics are item-level: a shared SID credits the expectation over its items' order. */
export const ModelRow = Schema.Struct({
  name: Schema.String,
  metrics: Metrics,
  ci95: Intervals,
  /** Share of the catalogue that appears in some top ten. */
  coverage: Schema.Finite,
  /** Inequality of how often items are recommended: 0 equal, towards 1 all the same. */
  gini: Schema.Finite,
  seconds: Schema.Finite
})

/** @see ModelRow */
export type ModelRow = typeof ModelRow.Type

/** The whole record. */
export const EvaluationRecord = Schema.Struct({
  dataset: Schema.String,
  protocol: Schema.Struct({
    split: Schema.String,
    historyExcluded: Schema.Boolean,
    /** Test targets that stand in their own history: a miss for every model when it is excluded. @default 0 */
    repeatedTargets: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
    ties: Schema.String,
    collision: Schema.String
  }),
  users: Schema.Int,
  items: Schema.Int,
  /** Candidates that are not in the catalogue; anything but 0 is a defect. */
  invalid: Schema.Int,
  beams: Schema.Int,
  models: Schema.Array(ModelRow),
  /** The same with a hit for every item of the right SID, as most published numbers count. */
  sidLevel: Schema.Array(ModelRow),
  /** Paired differences in NDCG@10 between neighbouring phases, with their intervals. */
  differences: Schema.Array(Schema.Struct({
    name: Schema.String,
    metric: Schema.String,
    difference: Schema.Finite,
    ci95: Schema.Tuple([Schema.Finite, Schema.Finite])
  }))
})

/** @see EvaluationRecord */
export type EvaluationRecord = typeof EvaluationRecord.Type

/** Says what happened to the history and to targets that stand in it. */
export const describeHistory = (
  { protocol: { historyExcluded, repeatedTargets }, users }: EvaluationRecord
): string => {
  if (!historyExcluded) return "history kept"
  if (repeatedTargets === 0) return "history excluded"
  const [stand, count] = repeatedTargets === 1 ? ["stands", "counts"] : ["stand", "count"]
  const [some, all] = [repeatedTargets, users].map((number) => number.toLocaleString("en"))
  return `history excluded: ${some} of ${all} targets ${stand} in the history and ${count} as a miss`
}
