/**
 * NDCG gain of a hit: `1 / log2(rank + 2)` for a hit at a rank from 0 (Jarvelin and Kekalainen 2002, one relevant
 * item), and 0 for every other candidate. A candidate that is no item counts in the ranks. A hit that was drawn twice
 * has the gain of each of its ranks.
 */
import { Reward } from "./Reward.ts"

/** Provides the reward. */
export const layer = Reward.layer(
  "ndcg",
  ({ hits, target }) => target < 0 ? null : hits.map((hit, rank) => (hit ? 1 / Math.log2(rank + 2) : 0))
)
