/**
 * Cluster within one process: actors receive messages as objects, which are neither encoded nor stored.
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

/** Provides message delivery within this process; a sender must not change a message afterwards. */
export const layer: Layer.Layer<Sharding.Sharding> = Sharding.layer.pipe(
  Layer.provide(Runners.layerNoop),
  Layer.provide([MessageStorage.layerNoop, RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
  Layer.provide(ShardingConfig.layer({ simulateRemoteSerialization: false, shardsPerGroup: 1 }))
)

/**
 * Provides a rollout actor of this process with a mailbox; it draws with the weights published at the time of a call.
 */
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

/** Provides a reward actor of this process with a mailbox. */
export const rewards = <E, R>(
  actor: Layer.Layer<RewardActor, E, R>
): Layer.Layer<RewardActor, E | RewardError, R> =>
  RewardEntity.layerClient().pipe(
    Layer.provide(RewardEntity.layerServer().pipe(Layer.provide(actor))),
    Layer.provide(layer)
  )
