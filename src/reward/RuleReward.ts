/**
 * The rule of MiniOneRec: 1 for the item that really came next, 0 for any other.
 */
import * as Reward from "./Reward.ts"

/** The reward. */
export const rule: Reward.Reward = Reward.make("rule", ({ hits }) => hits.map((hit) => (hit ? 1 : 0)))
