/**
 * The rewards by their names in the settings.
 */
import * as RankingReward from "../src/reward/RankingReward.ts"
import { type WeightedReward } from "../src/reward/RewardActor.ts"
import * as RuleReward from "../src/reward/RuleReward.ts"

const known = { rule: RuleReward.layer, ranking: RankingReward.layer }

/** The names of the rewards. */
export const names: ReadonlyArray<string> = Object.keys(known)

/** Returns the rewards with these weights by name; other names are left to the check of the settings. */
export const weighted = (weights: Readonly<Record<string, number>>): ReadonlyArray<WeightedReward> =>
  Object.entries(known).flatMap(([name, reward]) => {
    const weight = weights[name]
    return weight === undefined ? [] : [{ reward, weight }]
  })
