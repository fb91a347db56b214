/**
 * Log of a run's metrics and events: an append-only file with one JSON object per line.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { storage } from "./Durable.ts"
import { type RunError } from "./RunError.ts"

/** One event with its values; `kind` is `sft.step`, `grpo.validation` and so on. */
export interface RunEvent {
  readonly kind: string
  readonly step: number
  readonly fields: Readonly<Record<string, number | string>>
}

/** Log of a run. */
export class RunLog extends Context.Service<RunLog, {
  /** Appends one event. */
  append(event: RunEvent): Effect.Effect<void, RunError>
  /** All events; `torn` counts lines cut off by a crash, which are left out. */
  readonly read: Effect.Effect<{ readonly events: ReadonlyArray<RunEvent>; readonly torn: number }, RunError>
}>()("sidereal/run/RunLog") {
  /** Provides a log in `<run>/events.jsonl`; the file is created by the first event. */
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
        // A line cut off by a crash is terminated once, before the first event of this process.
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

  /** Provides a log in memory. */
  static readonly layerMemory: Layer.Layer<RunLog> = Layer.sync(RunLog, () => {
    const events: Array<RunEvent> = []
    return RunLog.of({
      append: (event) => Effect.sync(() => void events.push(event)),
      read: Effect.sync(() => ({ events: [...events], torn: 0 }))
    })
  })
}

/** File name of the log in the folder of a run. */
export const fileName = "events.jsonl"

/** Returns whether a text is that of a log: its first line is an event, or an event cut off by a crash. */
export const isLog = (text: string): boolean => {
  const line = text.split("\n", 1)[0]!
  const event: unknown = parse(line).events[0]
  if (event === undefined) return text === "" || line.startsWith("{\"kind\":\"")
  const { fields, kind, step } = (event ?? {}) as Partial<RunEvent>
  return typeof kind === "string" && typeof step === "number" && typeof fields === "object"
}

/** Parses the text of a log; `torn` counts the lines that are not complete events. */
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
