/**
 * Rewards by their names in the settings.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Scorer } from "../src/evaluation/baseline/Scorer.ts"
import { type Matrix } from "../src/matrix/Matrix.ts"
import * as CollaborativeReward from "../src/reward/CollaborativeReward.ts"
import * as DiversityReward from "../src/reward/DiversityReward.ts"
import * as NdcgReward from "../src/reward/NdcgReward.ts"
import * as PopularityReward from "../src/reward/PopularityReward.ts"
import * as PrefixReward from "../src/reward/PrefixReward.ts"
import * as RankingReward from "../src/reward/RankingReward.ts"
import { type Reward, type RewardError } from "../src/reward/Reward.ts"
import { type WeightedReward } from "../src/reward/RewardActor.ts"
import * as RuleReward from "../src/reward/RuleReward.ts"
import * as SemanticReward from "../src/reward/SemanticReward.ts"
import { type Sids } from "../src/sid/Sids.ts"

/** Sources of the rewards in a run; each is built only for a reward with a weight. */
export interface RewardSources<E = never, R = never> {
  /** Scorer of `collaborative`; it should exclude the user's own sequence. */
  readonly teacher: Effect.Effect<Scorer, E, R>
  /** Training events of each item, [N], for `popularity`. */
  readonly counts: Effect.Effect<ArrayLike<number>, E, R>
  /** Embeddings of the items, [N, D], for `semantic`. */
  readonly embeddings: Effect.Effect<Matrix, E, R>
}

const from = <A, E, R>(source: Effect.Effect<A, E, R>, layer: (value: A) => Layer.Layer<Reward>) =>
  Layer.unwrap(Effect.map(source, layer))

const known = {
  rule: () => RuleReward.layer,
  ranking: () => RankingReward.layer,
  ndcg: () => NdcgReward.layer,
  prefix: () => PrefixReward.layer(),
  semantic: <E, R>({ embeddings }: RewardSources<E, R>) =>
    from(embeddings, (rows) => SemanticReward.layer({ embeddings: rows })),
  collaborative: <E, R>({ teacher }: RewardSources<E, R>) =>
    from(teacher, (scorer) => CollaborativeReward.layer({ scorer })),
  popularity: <E, R>({ counts }: RewardSources<E, R>) =>
    from(counts, (events) => PopularityReward.layer({ counts: events })),
  diversity: () => DiversityReward.layer
}

/** Names of the rewards. */
export const names: ReadonlyArray<string> = Object.keys(known)

/** Returns the rewards with these weights by name; unknown names are skipped, because the settings reject them. */
export const weighted = <E, R>(
  weights: Readonly<Record<string, number>>,
  sources: RewardSources<E, R>
): ReadonlyArray<WeightedReward<E | RewardError, R | Sids>> =>
  Object.entries(known).flatMap(([name, reward]) => {
    const weight = weights[name]
    return weight === undefined ? [] : [{ reward: reward(sources), weight }]
  })
