/**
 * Distribution of actors over processes, and the delivery failures after which a message is sent again.
 */
import type * as ClusterError from "effect/cluster/ClusterError"
import * as EntityId from "effect/cluster/EntityId"
import type * as ShardId from "effect/cluster/ShardId"
import { type Sharding } from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/** Name of the group of shards that workers hold; the driver holds the default group. */
export const workers = "workers"

/** Number of shards of a group of several processes. */
export const count = 16

/**
 * Returns names of `actors` entities that are spread evenly over the shards, so that processes with equal numbers of
 * shards have equal numbers of actors.
 */
export const ids = Effect.fnUntraced(function*(
  entity: { readonly getShardId: (id: EntityId.EntityId) => Effect.Effect<ShardId.ShardId, never, Sharding> },
  actors: number
): Effect.fn.Return<ReadonlyArray<string>, never, Sharding> {
  const found = new Map<string, Array<string>>()
  // Enough candidate names for every shard to have some, for any hash function.
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

/** Returns whether a failure is one of delivery, so that the same message may succeed when it is sent again. */
export const isTransient = (error: { readonly _tag: string }): error is DeliveryError => transient.includes(error._tag)

/** Schedule of sending an undelivered message again: every 0.1 s. */
export const again = Schedule.spaced("100 millis")

/**
 * Schema options for messages built from typed values; values from another process are checked when they are decoded.
 */
export const unchecked = { disableChecks: true } as const
