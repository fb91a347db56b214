/**
 * What a list may hold and which targets can be found: one rule for baselines and policies, in validation as in tests.
 *
 * With the history excluded no list holds an item of it. A target that stands in its own history is then a miss for
 * every model; with the history kept it is a target like any other.
 */
import { type Example } from "../catalog/Split.ts"

const nothing: ReadonlySet<number> = new Set()

/** Returns the items that must not be recommended after a history. */
export const excludedItems = (history: Int32Array, historyExcluded: boolean): ReadonlySet<number> =>
  historyExcluded ? new Set(history) : nothing

/** Counts the examples whose target stands in their own history. */
export const repeatedTargets = (examples: ReadonlyArray<Example>): number =>
  examples.filter(({ history, target }) => history.includes(target)).length
