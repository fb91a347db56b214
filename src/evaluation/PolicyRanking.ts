/**
 * Ranks targets by a policy: items stand in the order of the decoder's leaves, and items that share a SID are tied.
 */
import * as Effect from "effect/Effect"
import * as History from "../catalog/History.ts"
import { type Example } from "../catalog/Split.ts"
import { type RankedLeaves } from "../decode/BeamSearch.ts"
import { type DecoderError } from "../decode/DecoderError.ts"
import { LeafDecoder } from "../decode/LeafDecoder.ts"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import * as Prompt from "../policy/Prompt.ts"
import { Sids } from "../sid/Sids.ts"
import * as LeafSpace from "../sid/trie/LeafSpace.ts"
import * as Protocol from "./Protocol.ts"
import * as Rank from "./Rank.ts"

/** Options of a ranking. */
export interface RankingOptions {
  /** Number of leaves per list. */
  readonly beams: number
  /** Whether items of the history are left out of the list. */
  readonly historyExcluded: boolean
  /** Called with the number of examples done. @default none */
  readonly progress?: ((done: number) => void) | undefined
}

/** Returns the allowed items of ranked leaves, best first, each with the index of its leaf in the list. */
export const rankedItems = (
  space: LeafSpace.LeafSpace,
  ranked: RankedLeaves
): ReadonlyArray<{ readonly item: number; readonly logProb: number; readonly group: number }> =>
  Array.from(ranked.leaves).flatMap((leaf, group) =>
    Array.from(space.items(leaf), (item) => ({ item, logProb: ranked.logProbs[group]!, group }))
  )

/** Returns the rank of a target in ranked leaves, by item and by SID; unlisted where no leaf holds it. */
export const rankOf = (
  space: LeafSpace.LeafSpace,
  ranked: RankedLeaves,
  target: number
): { readonly item: Rank.Rank; readonly sid: Rank.Rank } => {
  const leaf = space.leaf(target)
  let better = 0
  for (const [position, candidate] of ranked.leaves.entries()) {
    const count = space.items(candidate).length
    if (candidate === leaf) return { item: { better, tied: count - 1 }, sid: { better: position, tied: 0 } }
    better += count
  }
  return { item: Rank.unlisted, sid: Rank.unlisted }
}

/** Ranking of one example. */
export interface RankedExample {
  /** Space of the SIDs allowed in the list. */
  readonly space: LeafSpace.LeafSpace
  readonly ranked: RankedLeaves
  readonly item: Rank.Rank
  readonly sid: Rank.Rank
}

/** Decodes and ranks every example, in order. */
export const rankAll: (
  examples: ReadonlyArray<Example>,
  weights: Weights,
  options: RankingOptions
) => Effect.Effect<ReadonlyArray<RankedExample>, DecoderError, PolicyModel | LeafDecoder | Sids> = Effect.fn(
  "PolicyRanking.rankAll"
)(function*(examples, weights, { beams, historyExcluded, progress }) {
  const { space: whole } = yield* Sids
  const decoder = yield* LeafDecoder
  const spaces = examples.map(({ history }) =>
    LeafSpace.without(whole, Protocol.excludedItems(history, historyExcluded))
  )
  const found = yield* decoder.decode(
    examples.map((example, i) => ({
      prompt: Prompt.ofHistory(History.of(example)),
      count: beams,
      space: spaces[i]!
    })),
    weights,
    { progress }
  )
  return examples.map((example, i) => ({
    space: spaces[i]!,
    ranked: found[i]!,
    ...rankOf(spaces[i]!, found[i]!, example.target)
  }))
})

/** Returns the mean item-level NDCG at a cutoff; 0 for no examples. */
export const meanNdcg = (ranked: ReadonlyArray<RankedExample>, cutoff: number): number =>
  ranked.reduce((sum, { item }) => sum + Rank.ndcg(item, cutoff), 0) / Math.max(1, ranked.length)
