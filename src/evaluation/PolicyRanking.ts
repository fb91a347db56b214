/**
 * Ranking of targets by a policy, alone or with a prior: the order of a decoder's leaves, with ties between items that
 * share a SID.
 */
import * as Effect from "effect/Effect"
import * as History from "../catalog/History.ts"
import { type Example } from "../catalog/Split.ts"
import { type RankedLeaves } from "../decode/BeamSearch.ts"
import { type DecoderError } from "../decode/DecoderError.ts"
import { LeafDecoder } from "../decode/LeafDecoder.ts"
import { type Prior } from "../decode/Prior.ts"
import { type PolicyModel, type Weights } from "../policy/PolicyModel.ts"
import * as Prompt from "../policy/Prompt.ts"
import { Sids } from "../sid/Sids.ts"
import * as LeafSpace from "../sid/trie/LeafSpace.ts"
import * as Protocol from "./Protocol.ts"
import * as Rank from "./Rank.ts"

/** Variant of a ranking: its history mode and its prior. */
export interface Variant {
  /** Whether items of the history are excluded from the list. */
  readonly historyExcluded: boolean
  /** Prior added to the policy's scores. @default none */
  readonly prior?: Prior | undefined
}

/** Length and progress of rankings. */
export interface ListOptions {
  /** Number of leaves of every list. */
  readonly beams: number
  /** Function called with the number of examples done so far. @default none */
  readonly progress?: ((done: number) => void) | undefined
}

/** Options of a ranking. */
export interface RankingOptions extends Variant, ListOptions {}

/**
 * Returns the allowed items of ranked leaves, best first, each with the log-probability and score of its leaf and the
 * place of the leaf in the list, `group`.
 */
export const rankedItems = (
  space: LeafSpace.LeafSpace,
  ranked: RankedLeaves
): ReadonlyArray<
  { readonly item: number; readonly logProb: number; readonly score: number; readonly group: number }
> =>
  Array.from(ranked.leaves).flatMap((leaf, group) =>
    Array.from(
      space.items(leaf),
      (item) => ({ item, logProb: ranked.logProbs[group]!, score: ranked.scores[group]!, group })
    )
  )

/** Returns the rank of a target in ranked leaves, by item and by SID; unlisted if no leaf contains it. */
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

/**
 * Ranks every example once for each variant, [variants][examples].
 *
 * The variants of an example are searched together and share the computation of its prompt and prefixes; each ranking
 * equals that of a separate search.
 */
export const rankEach: (
  examples: ReadonlyArray<Example>,
  weights: Weights,
  variants: ReadonlyArray<Variant>,
  options: ListOptions
) => Effect.Effect<
  ReadonlyArray<ReadonlyArray<RankedExample>>,
  DecoderError,
  PolicyModel | LeafDecoder | Sids
> = Effect.fn("PolicyRanking.rankEach")(
  function*(examples, weights, variants, { beams, progress }) {
    const { space: whole } = yield* Sids
    const decoder = yield* LeafDecoder
    const asked = examples.flatMap((example) => {
      const prompt = Prompt.ofHistory(History.of(example))
      return variants.map(({ historyExcluded, prior }) => ({
        prompt,
        count: beams,
        space: LeafSpace.without(whole, Protocol.excludedItems(example.history, historyExcluded)),
        prior
      }))
    })
    const found = yield* decoder.decode(asked, weights, {
      progress: (done) => progress?.(Math.floor(done / variants.length))
    })
    return variants.map((_, variant) =>
      examples.map(({ target }, i): RankedExample => {
        const at = i * variants.length + variant
        const { space } = asked[at]!
        return { space, ranked: found[at]!, ...rankOf(space, found[at]!, target) }
      })
    )
  }
)

/** Ranks every example; results are in the order of the examples. */
export const rankAll = (
  examples: ReadonlyArray<Example>,
  weights: Weights,
  { beams, historyExcluded, prior, progress }: RankingOptions
): Effect.Effect<ReadonlyArray<RankedExample>, DecoderError, PolicyModel | LeafDecoder | Sids> =>
  Effect.map(
    rankEach(examples, weights, [{ historyExcluded, prior }], { beams, progress }),
    ([ranked]) => ranked!
  )

/** Returns the mean item-level NDCG at a cutoff; 0 for no examples. */
export const meanNdcg = (ranked: ReadonlyArray<RankedExample>, cutoff: number): number =>
  Rank.meanNdcg(ranked.map(({ item }) => item), cutoff)
