/**
 * Protocol of the evaluation: the items allowed in a list, the same for baselines and policies, in validation and test.
 *
 * With the history excluded, no list contains an item of it, so a target that occurs in its own history is a miss for
 * every model. With the history kept, such a target is treated like any other.
 */
import { type Example } from "../catalog/Split.ts"

const nothing: ReadonlySet<number> = new Set()

/** Returns the items excluded from the list after a history. */
export const excludedItems = (history: Int32Array, historyExcluded: boolean): ReadonlySet<number> =>
  historyExcluded ? new Set(history) : nothing

/** Counts the examples whose target occurs in their own history. */
export const repeatedTargets = (examples: ReadonlyArray<Example>): number =>
  examples.filter(({ history, target }) => history.includes(target)).length
