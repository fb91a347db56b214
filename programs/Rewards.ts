/**
 * The rewards by their names in the settings.
 */
import { ranking } from "../src/reward/RankingReward.ts"
import { type Reward, type WeightedReward } from "../src/reward/Reward.ts"
import { rule } from "../src/reward/RuleReward.ts"

/** All rewards that settings can name. */
export const known: ReadonlyArray<Reward> = [rule, ranking]

/** The names of the rewards. */
export const names: ReadonlyArray<string> = known.map(({ name }) => name)

/** Returns the rewards with these weights by name; other names are left to the check of the settings. */
export const weighted = (weights: Readonly<Record<string, number>>): ReadonlyArray<WeightedReward> =>
  known.flatMap((reward) => {
    const weight = weights[reward.name]
    return weight === undefined ? [] : [{ reward, weight }]
  })
