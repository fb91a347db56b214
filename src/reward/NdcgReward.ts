/**
 * The gain that a hit brings to the NDCG of its list: `1 / log2(rank + 2)` for a hit at a rank from 0 (Jarvelin and
 * Kekalainen 2002, one relevant item), 0 for any other candidate and for one that is no item, which keeps its place.
 * A hit that was drawn twice earns the gain of each of its places.
 */
import { Reward } from "./Reward.ts"

/** Provides the reward. */
export const layer = Reward.layer(
  "ndcg",
  ({ hits, target }) => target < 0 ? null : hits.map((hit, rank) => (hit ? 1 / Math.log2(rank + 2) : 0))
)
