/**
 * What a user did before the event that is asked for.
 */

/** Items of one user, oldest first. */
export interface History {
  readonly user: number
  /** Item numbers [H]. */
  readonly items: Int32Array
  /** Milliseconds since 1970 [H], where the data have them. */
  readonly times?: Float64Array | undefined
}

/** Returns the history that an example begins with. */
export const of = (
  { history, times, user }: {
    readonly user: number
    readonly history: Int32Array
    readonly times?: Float64Array | undefined
  }
): History => ({ user, items: history, times })
