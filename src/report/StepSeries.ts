/**
 * Series of the numbers in a run's log.
 */
import { type RunEvent } from "../run/RunLog.ts"

/**
 * Returns the events of one kind that still hold, ascending by step: steps that were done again after a stop, or since
 * training began anew, count as they were done last.
 */
export const current = (events: ReadonlyArray<RunEvent>, kind: string): ReadonlyArray<RunEvent> => {
  const kept: Array<RunEvent> = []
  for (const event of events) {
    if (event.kind !== kind) continue
    while (kept.length > 0 && kept.at(-1)!.step >= event.step) kept.pop()
    kept.push(event)
  }
  return kept
}

/** Returns the points (step, value) of a field, where it is a number. */
export const points = (events: ReadonlyArray<RunEvent>, field: string): ReadonlyArray<readonly [number, number]> =>
  events.flatMap(({ fields, step }) => {
    const value = fields[field]
    return typeof value === "number" ? [[step, value] as const] : []
  })
