/**
 * A cluster of this process alone: actors answer messages as they are, without encoding them or writing them anywhere.
 */
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Layer from "effect/Layer"
import * as NamedWeights from "../../src/grpo/actor/NamedWeights.ts"
import { OfferedWeights } from "../../src/grpo/actor/OfferedWeights.ts"
import { type RolloutActor } from "../../src/grpo/RolloutActor.ts"
import { type PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { type RewardError } from "../../src/reward/Reward.ts"
import { type RewardActor } from "../../src/reward/RewardActor.ts"
import * as RewardEntity from "./RewardEntity.ts"
import * as RolloutEntity from "./RolloutEntity.ts"

/** Delivers messages within this process; whoever sends one must not change it afterwards. */
export const layer: Layer.Layer<Sharding.Sharding> = Sharding.layer.pipe(
  Layer.provide(Runners.layerNoop),
  Layer.provide([MessageStorage.layerNoop, RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
  Layer.provide(ShardingConfig.layer({ simulateRemoteSerialization: false, shardsPerGroup: 1 }))
)

/** Puts a rollout actor of this process behind its mailbox; it draws with the weights that are published when asked. */
export const rollouts = <E, R>(
  actor: Layer.Layer<RolloutActor, E, R>
): Layer.Layer<RolloutActor, E, Exclude<R, PublishedWeights> | PublishedWeights> =>
  RolloutEntity.layerClient().pipe(
    Layer.provide(
      RolloutEntity.layerServer().pipe(
        Layer.provide([actor.pipe(Layer.provide(NamedWeights.layerPublished)), NamedWeights.NamedWeights.layerLocal])
      )
    ),
    Layer.provide([OfferedWeights.layerLocal, layer])
  )

/** Puts a reward actor of this process behind its mailbox. */
export const rewards = <E, R>(
  actor: Layer.Layer<RewardActor, E, R>
): Layer.Layer<RewardActor, E | RewardError, R> =>
  RewardEntity.layerClient().pipe(
    Layer.provide(RewardEntity.layerServer().pipe(Layer.provide(actor))),
    Layer.provide(layer)
  )
