/**
 * Progress of long work: units done, total, rate and remaining time.
 *
 * On a terminal one line is redrawn; elsewhere a plain line is printed at most every ten seconds, so that a log stays
 * readable. All output goes to standard error, because standard output is for results. No line has colours.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Printable from "../text/Printable.ts"

/** Tracker of one piece of work; both calls are cheap enough for an inner loop. */
export interface Tracker {
  /** Sets the number of units done; `detail` is shown at the end of the line. */
  update(done: number, detail?: string | undefined): void
  /** Ends the work and prints its last line; `done` is the number of units done. @default all units */
  finish(detail?: string | undefined, done?: number | undefined): void
}

/** Stream that shows progress, usually standard error. */
export interface ProgressStream {
  /** Whether a line can be redrawn. @default false */
  readonly isTTY?: boolean | undefined
  /** Width of the terminal in characters, to which a redrawn line is cut. @default no limit */
  readonly columns?: number | undefined
  write(text: string): unknown
}

/**
 * Display of progress.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import { Progress } from "sidereal/run/Progress"
 *
 * const lines: Array<string> = []
 * const work = Effect.gen(function*() {
 *   const tracker = (yield* Progress).start("index", 3, "items")
 *   for (let done = 1; done <= 3; done++) tracker.update(done)
 *   tracker.finish()
 * })
 * await Effect.runPromise(work.pipe(Effect.provide(Progress.layer({ write: (line) => lines.push(line) }, () => 0))))
 * assert.match(lines[0]!, /^index: 3 items in 0\.0 s/)
 * ```
 */
export class Progress extends Context.Service<Progress, {
  /** Starts a piece of work of `total` units named `unit`, of which `from` (default 0) were done before. */
  start(label: string, total: number, unit: string, from?: number): Tracker
  /**
   * Starts a part of another piece of work, such as a validation during training: it is shown only after its first two
   * seconds, and has no last line.
   */
  part(label: string, total: number, unit: string): Tracker
}>()("sidereal/run/Progress") {
  /** Provides a display on a stream; `now` is the time in ms. @default the time of the process */
  static readonly layer = (
    stream: ProgressStream,
    now: () => number = () => performance.now()
  ): Layer.Layer<Progress> => Layer.sync(Progress, () => display(stream, now))

  /** Provides a display that shows nothing. */
  static readonly layerSilent: Layer.Layer<Progress> = Layer.sync(
    Progress,
    () => silentDisplay
  )
}

const silent: Tracker = { update: () => {}, finish: () => {} }
const silentDisplay = Progress.of({ start: () => silent, part: () => silent })

/** Returns the display of the context, or a silent one where there is none. */
export const orSilent: Effect.Effect<Progress["Service"]> = Effect.map(
  Effect.serviceOption(Progress),
  Option.getOrElse(() => silentDisplay)
)

const terminalInterval = 100
const plainInterval = 10_000
const partDelay = 2_000

/** Formats a duration in seconds: `4.2 s`, `3 min 05 s`, `2 h 10 min`. */
export const formatSeconds = (seconds: number): string => {
  if (!Number.isFinite(seconds)) return "?"
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`
}

const formatRate = (rate: number, unit: string): string =>
  rate > 0 && rate < 0.1
    ? `${formatSeconds(1 / rate)} each`
    : rate >= 1e4
    ? `${(rate / 1e3).toFixed(1)}k ${unit}/s`
    : `${rate >= 100 ? rate.toFixed(0) : rate.toFixed(1)} ${unit}/s`

const display = (stream: ProgressStream, now: () => number): Progress["Service"] => {
  const terminal = stream.isTTY === true
  const erase = "\r\u001b[2K"
  // Of all trackers: the time of the last line, and whether a redrawn line stands on the terminal.
  let shown = -Infinity
  let isDrawn = false

  const line = (parts: ReadonlyArray<string>, detail: string | undefined) =>
    Printable.line([...parts, ...(detail === undefined || detail === "" ? [] : [detail])].join(" | "))

  const make = (isPart: boolean) => (label: string, total: number, unit: string, from = 0): Tracker => {
    const started = now()
    const rateAfter = (done: number, seconds: number) => (done - from) / Math.max(seconds, 1e-9)
    return {
      update: (done, detail) => {
        const at = now()
        if (at - Math.max(shown, started) < (terminal ? terminalInterval : plainInterval)) return
        if (isPart && at - started < partDelay) return
        shown = at
        const rate = rateAfter(done, (at - started) / 1000)
        const text = line([
          `${label}: ${done}/${total} ${unit}`,
          `${Math.floor(100 * done / Math.max(1, total))} %`,
          formatRate(rate, unit),
          `${formatSeconds(done === from ? Number.NaN : (total - done) / rate)} left`
        ], detail)
        stream.write(
          terminal ? `${erase}${[...text].slice(0, (stream.columns ?? Infinity) - 1).join("")}` : `${text}\n`
        )
        isDrawn = terminal
      },
      finish: (detail, done = total) => {
        const before = isDrawn ? erase : ""
        isDrawn = false
        if (isPart) {
          if (before !== "") stream.write(before)
          return
        }
        const seconds = (now() - started) / 1000
        const parts = done === from
          ? [`${label}: ${done} ${unit}, nothing left to do`]
          : [
            `${label}: ${done - from} ${unit} in ${formatSeconds(seconds)}`,
            formatRate(rateAfter(done, seconds), unit)
          ]
        stream.write(`${before}${line(parts, detail)}\n`)
      }
    }
  }
  return Progress.of({ start: make(false), part: make(true) })
}
