/**
 * The rule of MiniOneRec: 1 for the item that really came next, 0 for any other and for a candidate that is no item.
 */
import { Reward } from "./Reward.ts"

/** Provides the reward. */
export const layer = Reward.layer("rule", ({ hits, target }) => target < 0 ? null : hits.map((hit) => (hit ? 1 : 0)))
