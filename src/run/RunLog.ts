/**
 * The metric and event log of a run: one JSON object per line, only ever appended to.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { storage } from "./Durable.ts"
import { type RunError } from "./RunError.ts"

/** One event: `sft.step`, `grpo.validation` ... with its numbers. */
export interface RunEvent {
  readonly kind: string
  readonly step: number
  readonly fields: Readonly<Record<string, number | string>>
}

/** The log of a run. */
export class RunLog extends Context.Service<RunLog, {
  append(event: RunEvent): Effect.Effect<void, RunError>
  /** All whole lines; a line that a crash cut off is left out and counted. */
  readonly read: Effect.Effect<{ readonly events: ReadonlyArray<RunEvent>; readonly torn: number }, RunError>
}>()("sidereal/run/RunLog") {
  /** The log in `<run>/events.jsonl`. */
  static readonly layer = (run: string): Layer.Layer<RunLog, RunError, FileSystem.FileSystem | Path.Path> =>
    Layer.effect(
      RunLog,
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const file = path.join(run, "events.jsonl")
        yield* fs.makeDirectory(run, { recursive: true }).pipe(Effect.mapError(storage("make", run)))
        const existing = yield* fs.exists(file).pipe(Effect.mapError(storage("read", file)))
        if (existing) {
          const text = yield* fs.readFileString(file).pipe(Effect.mapError(storage("read", file)))
          if (text !== "" && !text.endsWith("\n")) {
            yield* fs.writeFileString(file, "\n", { flag: "a" }).pipe(Effect.mapError(storage("append to", file)))
          }
        }
        return RunLog.of({
          append: (event) =>
            fs.writeFileString(file, `${JSON.stringify(event)}\n`, { flag: "a" }).pipe(
              Effect.mapError(storage("append to", file))
            ),
          read: fs.exists(file).pipe(
            Effect.flatMap((exists) => exists ? fs.readFileString(file) : Effect.succeed("")),
            Effect.map(parse),
            Effect.mapError(storage("read", file))
          )
        })
      })
    )

  /** A log in memory. */
  static readonly layerMemory: Layer.Layer<RunLog> = Layer.sync(RunLog, () => {
    const events: Array<RunEvent> = []
    return RunLog.of({
      append: (event) => Effect.sync(() => void events.push(event)),
      read: Effect.sync(() => ({ events: [...events], torn: 0 }))
    })
  })
}

/** Reads the text of a log. */
export const parse = (text: string): { readonly events: ReadonlyArray<RunEvent>; readonly torn: number } => {
  const events: Array<RunEvent> = []
  let torn = 0
  for (const line of text.split("\n")) {
    if (line === "") continue
    try {
      events.push(JSON.parse(line))
    } catch {
      torn++
    }
  }
  return { events, torn }
}
