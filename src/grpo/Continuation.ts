/**
 * Continuation of histories by what other users did next: one more item, drawn from those that followed the latest item
 * of the history in the sequence of somebody else.
 *
 * A user has one whole sequence, and a policy learns by heart what to answer after it; continued, the same sequences give
 * as many histories as the data have transitions, each as long as that of the user's next request.
 */
import type * as History from "../catalog/History.ts"

/** Source of continued histories. */
export interface Continuation {
  /**
   * Returns the history with one more item, drawn uniformly from the events that follow its latest item in the sequences
   * of other users and whose item it does not have yet; unchanged where there are none. The new event is as long after the
   * latest one as it was in the other sequence. `next` draws uniformly from [0, 1).
   */
  continue(history: History.History, next: () => number): History.History
}

/** Builds the continuations from the sequences of all users, oldest events first, and the times of the same events. */
export const make = (
  sequences: ReadonlyArray<Int32Array>,
  times?: ReadonlyArray<Float64Array> | undefined
): Continuation => {
  /** Users and places of the events that follow each item, by item. */
  const followers = new Map<number, Array<readonly [user: number, at: number]>>()
  for (const [user, items] of sequences.entries()) {
    for (let at = 1; at < items.length; at++) {
      const list = followers.get(items[at - 1]!)
      if (list === undefined) followers.set(items[at - 1]!, [[user, at]])
      else list.push([user, at])
    }
  }
  const followersOf = (item: number | undefined) => (item === undefined ? undefined : followers.get(item)) ?? []
  return {
    continue: (history, next) => {
      const own = new Set(history.items)
      const possible = followersOf(history.items.at(-1)).filter(([user, at]) =>
        user !== history.user && !own.has(sequences[user]![at]!)
      )
      const chosen = possible[Math.floor(next() * possible.length)]
      if (chosen === undefined) return history
      const [user, at] = chosen
      const known = times?.[user]
      return {
        user: history.user,
        items: Int32Array.from([...history.items, sequences[user]![at]!]),
        times: history.times === undefined
          ? undefined
          : Float64Array.from([
            ...history.times,
            history.times.at(-1)! + (known === undefined ? NaN : known[at]! - known[at - 1]!)
          ])
      }
    }
  }
}
