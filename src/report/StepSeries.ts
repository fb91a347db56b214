/**
 * Series of the numbers in a run's log.
 */
import { type RunEvent } from "../run/RunLog.ts"

/**
 * Returns the latest event of one kind per step, ascending by step: an event replaces earlier ones of the same and of
 * later steps, which training repeats after a stop or from another start.
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
