/**
 * How actors are spread over processes, and which failures of a delivery pass by themselves.
 */
import type * as ClusterError from "effect/cluster/ClusterError"
import * as EntityId from "effect/cluster/EntityId"
import type * as ShardId from "effect/cluster/ShardId"
import { type Sharding } from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/** The group of shards that workers hold; the driver holds the default group. */
export const workers = "workers"

/** Shards of a group of several processes. */
export const count = 16

/**
 * Returns the names of `actors` entities that lie on as many shards as there are, so that processes which hold equal
 * numbers of shards hold equal numbers of actors.
 */
export const ids = Effect.fnUntraced(function*(
  entity: { readonly getShardId: (id: EntityId.EntityId) => Effect.Effect<ShardId.ShardId, never, Sharding> },
  actors: number
): Effect.fn.Return<ReadonlyArray<string>, never, Sharding> {
  const found = new Map<string, Array<string>>()
  // Enough names for every shard to have some, whatever the hash.
  for (let n = 0; n < 64 * actors; n++) {
    const { group, id } = yield* entity.getShardId(EntityId.make(String(n)))
    const key = `${group}/${id}`
    found.set(key, [...found.get(key) ?? [], String(n)])
  }
  const byShard = [...found.values()]
  return Array.from(
    { length: actors },
    (_, own) => byShard[own % byShard.length]![Math.floor(own / byShard.length)]!
  )
})

type DeliveryError =
  | ClusterError.MailboxFull
  | ClusterError.AlreadyProcessingMessage
  | ClusterError.PersistenceError
  | ClusterError.EntityNotAssignedToRunner

const transient: ReadonlyArray<string> = [
  "MailboxFull",
  "AlreadyProcessingMessage",
  "PersistenceError",
  "EntityNotAssignedToRunner"
] satisfies ReadonlyArray<DeliveryError["_tag"]>

/** Returns whether a failure is one of delivery, which the same message may not meet again. */
export const isTransient = (error: { readonly _tag: string }): error is DeliveryError => transient.includes(error._tag)

/** When a message is sent again that could not be delivered. */
export const again = Schedule.spaced("100 millis")

/** Makes a message of values whose types say what they are; what comes from another process is checked there. */
export const unchecked = { disableChecks: true } as const
