/**
 * A cluster of several processes: messages go over sockets and stand in Postgres until they are answered.
 *
 * One driver holds the learner, its weights and the checks of who is alive; any number of workers draw. Whoever can reach
 * the database and the sockets can send messages: the network between them must be one that is trusted.
 */
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as EntityAddress from "effect/cluster/EntityAddress"
import * as EntityId from "effect/cluster/EntityId"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import { type RunnerStorage } from "effect/cluster/RunnerStorage"
import { type Sharding } from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SocketRunner from "effect/cluster/SocketRunner"
import * as SqlMessageStorage from "effect/cluster/SqlMessageStorage"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import type * as SocketServer from "effect/socket/SocketServer"
import type * as SqlError from "effect/sql/SqlError"
import * as NamedWeights from "../../src/grpo/actor/NamedWeights.ts"
import { OfferedWeights } from "../../src/grpo/actor/OfferedWeights.ts"
import { RolloutActor } from "../../src/grpo/RolloutActor.ts"
import { type PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { type RewardActor } from "../../src/reward/RewardActor.ts"
import * as RewardEntity from "./RewardEntity.ts"
import * as RolloutEntity from "./RolloutEntity.ts"
import * as Shards from "./Shards.ts"
import * as WeightsEntity from "./WeightsEntity.ts"

/** A host and a port. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Where a process finds the others, and is found. */
export interface SocketOptions {
  /** The database: `postgres://user:password@host:port/database`. */
  readonly url: string
  /** Processes of one name, letters, digits and `_`, work together; those of another share the database at most. */
  readonly name: string
  /** Where the others reach this process. */
  readonly address: Address
  /** Where it listens, where that is another place. @default address */
  readonly listen?: Address | undefined
}

/** The services of a process of the cluster. */
export type Cluster = Sharding | Runners.Runners | MessageStorage.MessageStorage | RunnerStorage

/** Every way in which a process fails to join. */
export type JoinError = SqlError.SqlError | SocketServer.SocketServerError

/**
 * What makes a dead process known within seconds: the driver asks every process each second, and whoever does not
 * refresh its locks loses them after five seconds.
 */
const timing = {
  runnerHealthCheckInterval: "1 second",
  refreshAssignmentsInterval: "500 millis",
  shardLockRefreshInterval: "1500 millis",
  shardLockExpiration: "5 seconds",
  entityMessagePollInterval: "1 second",
  entityReplyPollInterval: "100 millis",
  entityTerminationTimeout: "3 seconds"
} as const

const isAlive = Layer.effect(
  RunnerHealth.RunnerHealth,
  Effect.map(Runners.Runners, (runners) =>
    RunnerHealth.RunnerHealth.of({
      isAlive: (address) =>
        runners.ping(address).pipe(
          Effect.timeout("1 second"),
          Effect.retry({ times: 2 }),
          Effect.isSuccess
        )
    }))
)

const layer = (
  { address, listen = address, name, url }: SocketOptions,
  assigned: ReadonlyArray<string>
): Layer.Layer<Cluster, JoinError> => {
  const prefix = `sidereal_${name}`
  return SocketRunner.layer.pipe(
    Layer.provide(isAlive.pipe(Layer.provide(Runners.layerRpc))),
    Layer.provide([NodeClusterSocket.layerSocketServer, NodeClusterSocket.layerClientProtocol]),
    Layer.provideMerge(SqlMessageStorage.layerWith({ prefix }).pipe(Layer.provide(NodeCrypto.layerDigest))),
    Layer.provideMerge(Layer.orDie(SqlRunnerStorage.layerWith({ prefix }))),
    Layer.provide(ShardingConfig.layer({
      ...timing,
      runnerAddress: Option.some(RunnerAddress.make(address.host, address.port)),
      runnerListenAddress: Option.some(RunnerAddress.make(listen.host, listen.port)),
      availableShardGroups: ["default", Shards.workers],
      assignedShardGroups: assigned,
      shardsPerGroup: Shards.count,
      simulateRemoteSerialization: false
    })),
    Layer.provide(RpcSerialization.layerSchemaBinary({ maxFrameSize: 256 * 1024 * 1024 })),
    // Where it listens is told by whoever starts it.
    Layer.provide(Layer.succeed(References.MinimumLogLevel, "Warn")),
    Layer.provide(PgClient.layer({ url: Redacted.make(url), applicationName: "sidereal" }))
  )
}

/** The process that holds the learner: one of a name. */
export const layerDriver = (options: SocketOptions): Layer.Layer<Cluster, JoinError> => layer(options, ["default"])

/** A process that answers messages. */
export const layerWorker = (options: SocketOptions): Layer.Layer<Cluster, JoinError> => layer(options, [Shards.workers])

/** Batches after which answered messages are removed from the database. */
const batchesPerSweep = 16

/**
 * A rollout actor that lets workers draw.
 *
 * Differs from the actors of one process: messages are stored, so that a message whose worker dies is answered by
 * another, and one that is delivered twice is answered once. What another driver left is removed first.
 */
export const rollouts = (
  { actors = 8, ...options }: RolloutEntity.ClientOptions = {}
): Layer.Layer<RolloutActor, never, Sharding | MessageStorage.MessageStorage | PublishedWeights> =>
  Layer.effect(
    RolloutActor,
    Effect.gen(function*() {
      const actor = yield* RolloutActor
      const storage = yield* MessageStorage.MessageStorage
      const addresses = yield* Effect.forEach(yield* Shards.ids(RolloutEntity.stored, actors), (id) => {
        const entityId = EntityId.make(id)
        return Effect.map(
          RolloutEntity.stored.getShardId(entityId),
          (shardId) => new EntityAddress.EntityAddress({ shardId, entityId, entityType: RolloutEntity.stored.type })
        )
      })
      const sweep = Effect.forEach(addresses, storage.clearAddress, { discard: true }).pipe(Effect.ignore)
      yield* sweep
      let batches = 0
      return RolloutActor.of({
        generate: (prompts, step) =>
          // No batch is under way when one has ended, even where the next is drawn ahead.
          Effect.tap(actor.generate(prompts, step), () => ++batches % batchesPerSweep === 0 ? sweep : Effect.void)
      })
    })
  ).pipe(
    Layer.provide(RolloutEntity.layerClient({ actors, ...options }, RolloutEntity.stored)),
    Layer.merge(WeightsEntity.layerServer),
    Layer.provide(OfferedWeights.layerEncoded)
  )

/** A reward actor that lets a worker score. */
export const rewards = RewardEntity.layerClient(RewardEntity.stored)

/** Answers with a rollout actor of this process, which draws with the weights of the driver. */
export const answerRollouts = <E, R>(
  actor: Layer.Layer<RolloutActor, E, R>
): Layer.Layer<never, E, Exclude<R, PublishedWeights> | Sharding> =>
  RolloutEntity.layerServer(RolloutEntity.stored).pipe(
    Layer.provide([actor.pipe(Layer.provide(NamedWeights.layerPublished)), WeightsEntity.layerClient])
  )

/** Answers with a reward actor of this process. */
export const answerRewards = <E, R>(actor: Layer.Layer<RewardActor, E, R>): Layer.Layer<never, E, R | Sharding> =>
  RewardEntity.layerServer(RewardEntity.stored).pipe(Layer.provide(actor))
