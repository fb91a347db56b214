/**
 * A user's events before a predicted one.
 */

/** Items of one user, oldest first. */
export interface History {
  readonly user: number
  /** Item numbers, [H]. */
  readonly items: Int32Array
  /** Times [H], in milliseconds since 1970 where the data have dates; absent where times are not known. */
  readonly times?: Float64Array | undefined
}

/** Returns the latest events of a history, at most `count`. */
export const latest = ({ items, times, user }: History, count: number): History => {
  const from = Math.max(0, items.length - count)
  return { user, items: items.subarray(from), ...(times === undefined ? {} : { times: times.subarray(from) }) }
}

/** Returns the history of an example. */
export const of = (
  { history, times, user }: {
    readonly user: number
    readonly history: Int32Array
    readonly times?: Float64Array | undefined
  }
): History => ({ user, items: history, times })
