/**
 * SASRec of a run: a teacher, a baseline and a prior, trained once and kept in the checkpoints of the run.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SasRec from "../src/evaluation/baseline/sasrec/SasRec.ts"
import { SasRecConfig } from "../src/evaluation/baseline/sasrec/SasRecConfig.ts"
import { NoArtefact, RunError } from "../src/run/RunError.ts"
import type * as Prepare from "./Prepare.ts"
import { Workspace } from "./Workspace.ts"

const config = Schema.decodeSync(SasRecConfig)({})

/** Whether the training of the run's model has ended. */
export const isTrained = SasRec.isTrained(config)

/** Trains the model, or resumes; once the training has ended, the model is read and nothing is written. */
export const train = Effect.fn("RunSasRec.train")(function*({ dataset, split }: Prepare.Prepared) {
  const { settings } = yield* Workspace
  return yield* SasRec.resume(split.train, split.validation, dataset.items.length, config, settings.seed, {
    historyExcluded: settings.evaluation.historyExcluded
  })
})

/** Reads the model; fails with `NoArtefact` if its training has not ended. `command` is the one that trains it. */
export const read = Effect.fn("RunSasRec.read")(function*(prepared: Prepare.Prepared, command: string) {
  const { run } = yield* Workspace
  if (yield* isTrained) return yield* train(prepared)
  return yield* new RunError({ reason: new NoArtefact({ path: run, file: "trained SASRec", command }) })
})
