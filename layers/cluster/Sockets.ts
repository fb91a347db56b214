/**
 * Cluster of several processes: messages are sent over sockets and kept in Postgres until they are answered.
 *
 * One driver holds the learner and its weights and checks which processes are alive; any number of workers draw
 * rollouts. Messages are not authenticated: any process that reaches the database and the sockets can send them, so the
 * network must be trusted.
 */
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
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
import * as Packages from "../../src/run/Packages.ts"
import * as RewardEntity from "./RewardEntity.ts"
import * as RolloutEntity from "./RolloutEntity.ts"
import * as Shards from "./Shards.ts"
import * as WeightsEntity from "./WeightsEntity.ts"

/** Host and port. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Options of a process of the cluster. */
export interface SocketOptions {
  /** Address of the database: `postgres://user:password@host:port/database`. */
  readonly url: string
  /** Name of the cluster, of letters, digits and `_`; clusters of different names may share a database. */
  readonly name: string
  /** Address at which the others reach this process. */
  readonly address: Address
  /** Address at which the process listens, if it differs. @default address */
  readonly listen?: Address | undefined
}

/** Services of a process of the cluster. */
export type Cluster = Sharding | Runners.Runners | MessageStorage.MessageStorage | RunnerStorage

/** Failure of a process to join. */
export type JoinError = SqlError.SqlError | SocketServer.SocketServerError | Packages.MissingPackage

/**
 * Intervals by which a dead process is detected within seconds: the driver pings every process each second, and a
 * process that does not refresh its locks loses them after five seconds.
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

/** Client of the database, whose package is loaded when a process joins. */
const database = (url: string) =>
  Layer.unwrap(
    Packages.load(() => import("@effect/sql-pg/PgClient")).pipe(
      Effect.map((PgClient) => PgClient.layer({ url: Redacted.make(url), applicationName: "sidereal" }))
    )
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
    // Below warnings, Effect logs the address at which the process listens; the programs print it themselves.
    Layer.provide(Layer.succeed(References.MinimumLogLevel, "Warn")),
    Layer.provide(database(url))
  )
}

/** Provides the process that holds the learner; at most one per cluster name. */
export const layerDriver = (options: SocketOptions): Layer.Layer<Cluster, JoinError> => layer(options, ["default"])

/** Provides a process that answers messages. */
export const layerWorker = (options: SocketOptions): Layer.Layer<Cluster, JoinError> => layer(options, [Shards.workers])

/** Number of batches after which answered messages are removed from the database. */
const batchesPerSweep = 16

/**
 * Provides a rollout actor that sends prompts to workers; `actors` is by default 8.
 *
 * Differs from the actors of one process: messages are stored, so that a message whose worker dies is answered by
 * another worker, and one that is delivered twice is answered once. Messages of earlier drivers are removed first.
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
          // No batch is in flight when one has ended, even if the next is drawn ahead.
          Effect.tap(actor.generate(prompts, step), () => ++batches % batchesPerSweep === 0 ? sweep : Effect.void)
      })
    })
  ).pipe(
    Layer.provide(RolloutEntity.layerClient({ actors, ...options }, RolloutEntity.stored)),
    Layer.merge(WeightsEntity.layerServer),
    Layer.provide(OfferedWeights.layerEncoded)
  )

/** Provides a reward actor that sends batches to a worker. */
export const rewards = RewardEntity.layerClient(RewardEntity.stored)

/** Answers rollout messages with an actor of this process, which draws with the weights of the driver. */
export const answerRollouts = <E, R>(
  actor: Layer.Layer<RolloutActor, E, R>
): Layer.Layer<never, E, Exclude<R, PublishedWeights> | Sharding> =>
  RolloutEntity.layerServer(RolloutEntity.stored).pipe(
    Layer.provide([actor.pipe(Layer.provide(NamedWeights.layerPublished)), WeightsEntity.layerClient])
  )

/** Answers reward messages with an actor of this process. */
export const answerRewards = <E, R>(actor: Layer.Layer<RewardActor, E, R>): Layer.Layer<never, E, R | Sharding> =>
  RewardEntity.layerServer(RewardEntity.stored).pipe(Layer.provide(actor))
