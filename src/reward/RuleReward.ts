/**
 * The rule reward of MiniOneRec: 1 for a candidate with the target's SID, 0 for any other.
 */
import * as Reward from "./Reward.ts"

/** Reward named "rule". */
export const rule: Reward.Reward = Reward.make("rule", ({ hits }) => hits.map((hit) => (hit ? 1 : 0)))
