/**
 * Writes the report of a run.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { EvaluationRecord } from "../src/evaluation/EvaluationRecord.ts"
import * as Report from "../src/report/Report.ts"
import * as Durable from "../src/run/Durable.ts"
import { Corrupt, NoCheckpoint, RunError } from "../src/run/RunError.ts"
import { RunLog } from "../src/run/RunLog.ts"
import * as Evaluate from "./Evaluate.ts"
import * as Prepare from "./Prepare.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Renders what the run holds; the run must have been evaluated. Returns the path of the file. */
export const program = Effect.fn("report")(function*() {
  const { file, manifest, run, settings } = yield* Workspace
  const fs = yield* FileSystem.FileSystem
  const { dataset } = yield* Prepare.program()
  const { diagnosis, index } = yield* Tokenize.program()
  const read = <A>(name: string, schema: Schema.ConstraintDecoder<A>) =>
    fs.readFileString(file(name)).pipe(
      Effect.catchReason(
        "PlatformError",
        "NotFound",
        () => Effect.fail(new RunError({ reason: new NoCheckpoint({ path: run, kind: "evaluate" }) }))
      ),
      Effect.catchTag("PlatformError", (error) => Effect.fail(Durable.storage("read", file(name))(error))),
      Effect.flatMap((text) =>
        Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(text).pipe(
          Effect.mapError(({ message }) =>
            new RunError({
              reason: new Corrupt({
                file: file(name),
                expected: "what an evaluation wrote",
                found: message.split("\n", 1)[0]!,
                remedy: `\`sidereal evaluate --run ${run}\` writes it anew`
              })
            })
          )
        )
      )
    )
  const record = yield* read(Evaluate.files.record, EvaluationRecord)
  const examples = yield* read(Evaluate.files.examples, Schema.Array(Evaluate.ExampleUser))
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
