/**
 * Writes the report of a run.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { EvaluationRecord } from "../src/evaluation/EvaluationRecord.ts"
import * as Report from "../src/report/Report.ts"
import * as Durable from "../src/run/Durable.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import { RunLog } from "../src/run/RunLog.ts"
import * as Evaluate from "./Evaluate.ts"
import * as Prepare from "./Prepare.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Writes the report of an evaluated run; returns the path of the file. */
export const program = Effect.fn("report")(function*() {
  const { file, manifest, run, settings } = yield* Workspace
  const fs = yield* FileSystem.FileSystem
  const { dataset } = yield* Prepare.program()
  const { diagnosis, index } = yield* Tokenize.program()
  const read = (name: string) =>
    fs.readFileString(file(name)).pipe(
      Effect.mapError(() => new RunError({ reason: new NoCheckpoint({ path: run, kind: "evaluate" }) }))
    )
  const record = yield* read(Evaluate.files.record).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Schema.fromJsonString(EvaluationRecord)))
  )
  const examples = JSON.parse(yield* read(Evaluate.files.examples)) as ReadonlyArray<Evaluate.ExampleUser>
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
      settings
    })
  )
  return path
})
