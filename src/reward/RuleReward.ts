/**
 * Rule reward of MiniOneRec: 1 for a candidate with the SID of the target, 0 for any other and for one that is no item.
 */
import { Reward } from "./Reward.ts"

/** Provides the reward. */
export const layer = Reward.layer("rule", ({ hits, target }) => target < 0 ? null : hits.map((hit) => (hit ? 1 : 0)))
