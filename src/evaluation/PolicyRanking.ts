/**
 * Ranks targets by a policy: constrained beam search, history excluded, items that share a SID tied.
 */
import * as Effect from "effect/Effect"
import { type Example } from "../catalog/Split.ts"
import * as BeamSearch from "../decode/BeamSearch.ts"
import { PolicyModel, type PolicyWeights } from "../policy/PolicyModel.ts"
import { type SidIndex } from "../sid/SidIndex.ts"
import * as Trie from "../sid/trie/Trie.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import * as Protocol from "./Protocol.ts"
import * as Rank from "./Rank.ts"

/** How to rank. */
export interface RankingOptions {
  readonly beams: number
  /** Prompts computed together. */
  readonly batch: number
  readonly historyExcluded: boolean
  readonly progress?: ((done: number) => void) | undefined
}

/** Items of ranked leaves, best first, each with the size of its tie group; items of the history are left out. */
export const rankedItems = (
  index: SidIndex,
  ranked: BeamSearch.RankedLeaves,
  excluded: ReadonlySet<number>
): ReadonlyArray<{ readonly item: number; readonly logProb: number; readonly group: number }> => {
  const list: Array<{ item: number; logProb: number; group: number }> = []
  for (const [group, leaf] of ranked.leaves.entries()) {
    for (const item of Trie.items(index.trie, leaf)) {
      if (!excluded.has(item)) list.push({ item, logProb: ranked.logProbs[group]!, group })
    }
  }
  return list
}

/** The place of a target in ranked leaves, by item and by SID; an excluded one is not listed, whoever shares its SID. */
export const rankOf = (
  index: SidIndex,
  ranked: BeamSearch.RankedLeaves,
  target: number,
  excluded: ReadonlySet<number>
): { readonly item: Rank.Rank; readonly sid: Rank.Rank } => {
  if (excluded.has(target)) return unlisted
  const leaf = index.leafOf[target]!
  let better = 0
  for (const [position, candidate] of ranked.leaves.entries()) {
    const items = Trie.items(index.trie, candidate).filter((item) => !excluded.has(item))
    if (candidate === leaf) {
      return { item: { better, tied: items.length - 1 }, sid: { better: position, tied: 0 } }
    }
    better += items.length
  }
  return unlisted
}

const unlisted = { item: Rank.unlisted, sid: Rank.unlisted }

/** The result for one example. */
export interface RankedExample {
  readonly ranked: BeamSearch.RankedLeaves
  readonly item: Rank.Rank
  readonly sid: Rank.Rank
}

/** Ranks every example. */
export const rankAll: (
  examples: ReadonlyArray<Example>,
  weights: PolicyWeights,
  options: RankingOptions
) => Effect.Effect<ReadonlyArray<RankedExample>, TensorError, PolicyModel> = Effect.fn("PolicyRanking.rankAll")(
  function*(examples, weights, { batch, beams, historyExcluded, progress }) {
    const { index } = yield* PolicyModel
    const histories = examples.map((example) => example.history)
    const found = yield* BeamSearch.searchAll(histories, weights, {
      beams,
      batch,
      excluded: historyExcluded ? histories.map((history) => BeamSearch.leavesOf(index, history)) : undefined,
      progress
    })
    return examples.map((example, i) => {
      const excluded = Protocol.excludedItems(example.history, historyExcluded)
      return { ranked: found[i]!, ...rankOf(index, found[i]!, example.target, excluded) }
    })
  }
)

/** Mean NDCG of a ranking. */
export const meanNdcg = (ranked: ReadonlyArray<RankedExample>, cutoff: number): number =>
  ranked.reduce((sum, { item }) => sum + Rank.ndcg(item, cutoff), 0) / Math.max(1, ranked.length)
