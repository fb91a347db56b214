/**
 * Durations of the phases of a step.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Clock with a total per phase. */
export interface Phases {
  /** Runs an Effect and adds its duration to a phase. */
  readonly time: <A, E, R>(phase: string, work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Returns the seconds per phase since the last call, and resets them. */
  readonly take: () => Readonly<Record<string, number>>
}

/** Makes a clock without phases. */
export const make = (): Phases => {
  let seconds: Record<string, number> = {}
  return {
    time: (phase, work) =>
      Effect.gen(function*() {
        const before = yield* Clock.currentTimeMillis
        const result = yield* work
        seconds[phase] = (seconds[phase] ?? 0) + ((yield* Clock.currentTimeMillis) - before) / 1000
        return result
      }),
    take: () => {
      const taken = seconds
      seconds = {}
      return taken
    }
  }
}
