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
  /** The log in `<run>/events.jsonl`; nothing is written before the first event. */
  static readonly layer = (run: string): Layer.Layer<RunLog, never, FileSystem.FileSystem | Path.Path> =>
    Layer.effect(
      RunLog,
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const file = path.join(run, fileName)
        const text = fs.readFileString(file).pipe(
          Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed("")),
          Effect.mapError(storage("read", file))
        )
        // A line that a crash cut off is ended once, before the first event of this process.
        let begun = false
        return RunLog.of({
          append: Effect.fnUntraced(function*(event) {
            const before = begun ? "" : yield* text
            const end = before === "" || before.endsWith("\n") ? "" : "\n"
            yield* fs.writeFileString(file, `${end}${JSON.stringify(event)}\n`, { flag: "a" }).pipe(
              Effect.mapError(storage("append to", file))
            )
            begun = true
          }),
          read: Effect.map(text, parse)
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

/** The log's name in the folder of a run. */
export const fileName = "events.jsonl"

/** Whether a text is a log's: its first line is an event, or one that a crash cut off. */
export const isLog = (text: string): boolean => {
  const line = text.split("\n", 1)[0]!
  const event: unknown = parse(line).events[0]
  if (event === undefined) return text === "" || line.startsWith("{\"kind\":\"")
  const { fields, kind, step } = (event ?? {}) as Partial<RunEvent>
  return typeof kind === "string" && typeof step === "number" && typeof fields === "object"
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
