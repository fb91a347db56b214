/**
 * Writes the report of a run.
 */
import * as Effect from "effect/Effect"
import * as Report from "../src/report/Report.ts"
import * as Durable from "../src/run/Durable.ts"
import { RunLog } from "../src/run/RunLog.ts"
import * as Evaluate from "./Evaluate.ts"
import * as EvaluationFiles from "./EvaluationFiles.ts"
import * as Prepare from "./Prepare.ts"
import * as RewardTrace from "./RewardTrace.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Writes the report of an evaluated run; returns the path of the file. */
export const program = Effect.fn("report")(function*() {
  const { file, kept, manifest, settings } = yield* Workspace
  const { dataset } = yield* Prepare.program()
  const { diagnosis, index } = yield* Tokenize.program()
  const record = yield* kept(EvaluationFiles.record.name, EvaluationFiles.record.codec, "evaluate")
  const examples = yield* kept(EvaluationFiles.examples.name, EvaluationFiles.examples.codec, "evaluate")
  const groups = yield* kept(RewardTrace.file.name, RewardTrace.file.codec, "grpo").pipe(
    Effect.catchReason("RunError", "NoArtefact", () => Effect.void)
  )
  const { events } = yield* (yield* RunLog).read
  const path = file("report.html")
  yield* Durable.write(
    path,
    Report.render({
      manifest: yield* manifest,
      counts: dataset.counts,
      items: dataset.items,
      index,
      diagnostics: diagnosis,
      events,
      record,
      verdict: Evaluate.verdict(record),
      examples,
      ...(groups === undefined ? {} : { groups }),
      settings
    })
  )
  return path
})
