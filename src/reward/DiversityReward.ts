/**
 * Penalty on candidates that are similar to others of their group: the negative mean similarity to the other
 * candidates, `-1 / (m - 1) sum_(j != i) s(i, j)` over the m candidates that are items. It is the intra-list similarity
 * of Ziegler et al. (2005), per candidate. In a group with one item, this item has the reward 0. A candidate that is no
 * item has the reward -1, as for a duplicate of all others, and does not count as a neighbour of others.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Matrix from "../matrix/Matrix.ts"
import { Sids } from "../sid/Sids.ts"
import * as PrefixReward from "./PrefixReward.ts"
import { Reward } from "./Reward.ts"
import * as SemanticReward from "./SemanticReward.ts"

const ofLikeness = (likeness: (a: number, b: number) => number) =>
  Reward.layer("diversity", ({ items }) => {
    const found = items.filter((item) => item >= 0).length
    return Array.from(items, (item, i) => {
      if (item < 0) return -1
      let sum = 0
      for (const [j, other] of items.entries()) if (j !== i && other >= 0) sum += likeness(item, other)
      return found < 2 ? 0 : -sum / (found - 1)
    })
  })

/** Provides the reward by SIDs: the similarity is the shared leading codes over the codes of the longer SID, 0 to 1. */
export const layer: Layer.Layer<Reward, never, Sids> = Layer.unwrap(
  Effect.map(Sids, ({ index }) =>
    ofLikeness((a, b) => {
      const [one, other] = [PrefixReward.codesOf(index, a), PrefixReward.codesOf(index, b)]
      return PrefixReward.shared(one, other) / Math.max(one.length, other.length)
    }))
)

/** Provides the reward by content: the similarity is the cosine of item embeddings [N, D], -1 to 1. */
export const layerCosine = ({ embeddings }: { readonly embeddings: Matrix.Matrix }): Layer.Layer<Reward> =>
  Layer.unwrap(Effect.sync(() => {
    const unit = Matrix.normalizeRows(embeddings)
    return ofLikeness((a, b) => SemanticReward.product(unit, a, b))
  }))
