/**
 * Rank penalty of MiniOneRec: in a group with a hit, the wrong candidate at rank i (from 0) has the reward
 * `-(1 / log2(i + 2)) / sum_j 1 / log2(j + 2)` and the hit 0; in a group without a hit all rewards are 0.
 * A candidate that is no item is a wrong one.
 */
import { Reward } from "./Reward.ts"

/** Returns the penalties by rank for groups of G candidates, [G]; they sum to 1. */
export const penalties = (group: number): Float64Array => {
  const weights = Float64Array.from({ length: group }, (_, rank) => 1 / Math.log2(rank + 2))
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / sum)
}

/** Provides the reward. */
export const layer = Reward.layer("ranking", ({ hits, target }) => {
  if (target < 0) return null
  const penalty = penalties(hits.length)
  const any = hits.some((hit) => hit)
  return hits.map((hit, rank) => (!any || hit ? 0 : -penalty[rank]!))
})
