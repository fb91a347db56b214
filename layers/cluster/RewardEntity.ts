/**
 * Reward actors as entities of a cluster.
 */
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as Entity from "effect/cluster/Entity"
import { type Sharding } from "effect/cluster/Sharding"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { GroupRewards, ScoreGroups } from "../../src/grpo/actor/RewardMessages.ts"
import * as Reward from "../../src/reward/Reward.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as Shards from "./Shards.ts"

const score = Rpc.make("Score", {
  payload: ScoreGroups,
  success: Schema.Array(GroupRewards),
  error: Reward.RewardError
})
const names = Rpc.make("Names", { success: Schema.Array(Schema.String) })

/**
 * Actor that scores batches with rewards.
 *
 * Responsibilities: scores a whole batch with its rewards, because a reward may compare the groups of a batch; holds no
 * state. Ordering: batches are answered one at a time, in the order of arrival. Back-pressure: the driver awaits a
 * batch before it sends the next; a full mailbox rejects a message, and the driver sends it again. Completion means
 * that every candidate has a finite total, and a finite reward in each part that applies. A crash loses the batch being
 * answered; if messages are stored, the actor's replacement answers it, and a batch that is delivered twice is scored
 * once.
 */
export type RewardEntity = Entity.Entity<"Rewards", typeof score | typeof names>

/** Actor in this process: messages are neither encoded nor stored. */
export const entity: RewardEntity = Entity.make("Rewards", [score, names])

/** Actor in another process: batches are stored before they are answered by a worker. */
export const stored: RewardEntity = Entity.make("Rewards", [score.annotate(ClusterSchema.Persisted, true), names])
  .annotate(ClusterSchema.ShardGroup, () => Shards.workers)

/** Provides the entity, which answers with the reward actor of the context. */
export const layerServer = (of: RewardEntity = entity): Layer.Layer<never, never, Sharding | RewardActor> =>
  of.toLayer(
    Effect.map(RewardActor, (actor) =>
      of.of({
        Names: () => Effect.succeed(actor.names),
        Score: ({ payload: { groups } }) =>
          actor.score(groups).pipe(
            // A defect would recur on every worker, so it is returned to the driver as an error.
            Effect.catchDefect((defect) =>
              Effect.fail(
                Reward.failed(actor.names.join(" + "), defect instanceof Error ? defect.message : String(defect))
              )
            )
          )
      })),
    {
      mailboxCapacity: 8,
      concurrency: 1,
      maxIdleTime: Duration.infinity,
      defectRetryPolicy: Schedule.spaced("1 second")
    }
  )

/** Provides a reward actor that sends batches to an entity of the cluster. */
export const layerClient = (
  of: RewardEntity = entity
): Layer.Layer<RewardActor, Reward.RewardError, Sharding> =>
  Layer.effect(
    RewardActor,
    Effect.gen(function*() {
      const client = (yield* of.client)("rewards")
      const session = randomUUID()
      let batch = 0
      const delivered = <A, E extends { readonly _tag: string; readonly message: string }>(work: Effect.Effect<A, E>) =>
        work.pipe(
          Effect.retry({ while: Shards.isTransient, schedule: Shards.again }),
          Effect.mapError((error) =>
            error instanceof Reward.RewardError ? error : Reward.failed("of the cluster", error.message)
          )
        )
      return RewardActor.of({
        names: yield* delivered(client.Names()),
        score: Effect.fn("RewardEntity.score")((groups) =>
          delivered(client.Score(new ScoreGroups({ session, batch: batch++, groups }, Shards.unchecked)))
        )
      })
    })
  )
