/**
 * The files that an evaluation leaves in the run.
 */
import * as Schema from "effect/Schema"
import { EvaluationRecord } from "../src/evaluation/EvaluationRecord.ts"
import * as Artefacts from "./Artefacts.ts"

/** Metrics of policies and baselines. */
export const record = { name: "evaluation.json", codec: Artefacts.json(EvaluationRecord, 2) } as const

/** Users of the report: their histories, recommendations and targets. */
export const examples = {
  name: "examples.json",
  codec: Artefacts.json(Schema.Array(Schema.Struct({
    user: Schema.String,
    history: Schema.Array(Schema.String),
    recommendations: Schema.Array(
      Schema.Struct({ title: Schema.String, logProb: Schema.Finite, hit: Schema.Boolean })
    ),
    truth: Schema.String
  })))
} as const
