/**
 * Progress of long work: units done, total, rate and remaining time.
 *
 * On a terminal one line is redrawn; elsewhere a plain line is printed every few seconds, so that a log stays readable.
 * All output goes to standard error, because standard output is for results.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Printable from "../text/Printable.ts"

/** Tracker of one piece of work; both calls are cheap enough for an inner loop. */
export interface Tracker {
  /** Sets the number of units done; `detail` is shown at the end of the line. */
  update(done: number, detail?: string | undefined): void
  /** Ends the work and prints its last line; `done` is the number of units done. @default all units */
  finish(detail?: string | undefined, done?: number | undefined): void
}

/** Display of progress. */
export class Progress extends Context.Service<Progress, {
  /** Starts a piece of work of `total` units named `unit`, of which `from` (default 0) were done before. */
  start(label: string, total: number, unit: string, from?: number): Tracker
}>()("sidereal/run/Progress") {
  /** A display on a stream, usually standard error. */
  static readonly layer = (
    stream: { readonly isTTY?: boolean | undefined; write(text: string): unknown },
    now: () => number = () => performance.now()
  ): Layer.Layer<Progress> => Layer.succeed(Progress, Progress.of({ start: tracker(stream, now) }))

  /** A display that shows nothing. */
  static readonly layerSilent: Layer.Layer<Progress> = Layer.succeed(
    Progress,
    Progress.of({ start: () => ({ update: () => {}, finish: () => {} }) })
  )
}

const terminalInterval = 100
const plainInterval = 5_000

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

const tracker =
  (stream: { readonly isTTY?: boolean | undefined; write(text: string): unknown }, now: () => number) =>
  (label: string, total: number, unit: string, from = 0): Tracker => {
    const terminal = stream.isTTY === true
    const started = now()
    let shown = started
    let last = ""
    const line = (done: number, detail: string | undefined, finished: boolean) => {
      const seconds = (now() - started) / 1000
      const rate = (done - from) / Math.max(seconds, 1e-9)
      const left = done === from ? Number.NaN : (total - done) / rate
      const parts = finished
        ? done === from
          ? [`${label}: ${done} ${unit}, nothing left to do`]
          : [`${label}: ${done - from} ${unit} in ${formatSeconds(seconds)}`, formatRate(rate, unit)]
        : [
          `${label}: ${done}/${total} ${unit}`,
          `${Math.floor(100 * done / Math.max(1, total))} %`,
          formatRate(rate, unit),
          `${formatSeconds(left)} left`
        ]
      return Printable.line([...parts, ...(detail === undefined || detail === "" ? [] : [detail])].join(" | "))
    }
    return {
      update: (done, detail) => {
        const at = now()
        if (at - shown < (terminal ? terminalInterval : plainInterval)) return
        shown = at
        const text = line(done, detail, false)
        last = text
        stream.write(terminal ? `\r\u001b[2K${text}` : `${text}\n`)
      },
      finish: (detail, done = total) => {
        const text = line(done, detail, true)
        stream.write(terminal && last !== "" ? `\r\u001b[2K${text}\n` : `${text}\n`)
      }
    }
  }
