/**
 * Rollout actors as entities of a cluster; the layer of the cluster, not the driver, decides in which process an entity
 * runs.
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
import { GroupInbox } from "../../src/grpo/actor/GroupInbox.ts"
import * as NamedWeights from "../../src/grpo/actor/NamedWeights.ts"
import { OfferedWeights } from "../../src/grpo/actor/OfferedWeights.ts"
import { DrawGroups, DrawnGroup, ofRollout } from "../../src/grpo/actor/RolloutMessages.ts"
import { WeightsGone } from "../../src/grpo/actor/WeightsName.ts"
import { RolloutActor } from "../../src/grpo/RolloutActor.ts"
import { ActorFailed, RolloutError } from "../../src/grpo/RolloutError.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import * as Shards from "./Shards.ts"

const draw = Rpc.make("Draw", {
  payload: DrawGroups,
  success: Schema.Array(DrawnGroup),
  error: Schema.Union([RolloutError, WeightsGone])
})

/**
 * Actor for one part of the prompts of every step: those whose ordinal modulo the number of actors is the actor's
 * number.
 *
 * Responsibilities: draws the groups of a message with the weights that the message names; holds no state. Ordering:
 * messages are answered one at a time, in the order of arrival. Back-pressure: the driver has one message per actor in
 * flight, two when it draws ahead; a full mailbox rejects a message, and the driver sends it again. Completion means
 * that every prompt of the message has a group, all drawn with the weights that the message names. A crash loses the
 * messages being answered; if messages are stored, the actor's replacement answers them with the same groups, which
 * depend on the message alone. A message that is delivered twice is answered once if messages are stored, and its
 * groups are always taken once.
 */
export type RolloutEntity = Entity.Entity<"Rollouts", typeof draw>

/** Actors in this process: messages are neither encoded nor stored. */
export const entity: RolloutEntity = Entity.make("Rollouts", [draw])

/** Actors in other processes: messages are stored before they are answered by workers. */
export const stored: RolloutEntity = Entity.make("Rollouts", [draw.annotate(ClusterSchema.Persisted, true)])
  .annotate(ClusterSchema.ShardGroup, () => Shards.workers)

/** Capacity of an actor's mailbox, in messages. */
const mailboxCapacity = 8

const failed = (step: number, detail: string) => new RolloutError({ reason: new ActorFailed({ step, detail }) })

/** Provides the entities, which answer with the rollout actor of the context. */
export const layerServer = (
  of: RolloutEntity = entity
): Layer.Layer<never, never, Sharding | RolloutActor | NamedWeights.NamedWeights> =>
  of.toLayer(
    Effect.gen(function*() {
      const actor = yield* RolloutActor
      const named = yield* NamedWeights.NamedWeights
      return of.of({
        Draw: ({ payload: { prompts, step, weights } }) =>
          Effect.flatMap(named.pin(weights), (pinned) =>
            actor.generate(prompts, step).pipe(NamedWeights.answering(pinned))).pipe(
              Effect.map((rollouts) =>
                rollouts.map((rollout) => ofRollout(step, rollout))
              ),
              Effect.scoped,
              // A defect would recur on every worker, so it is returned to the driver as an error.
              Effect.catchDefect((defect) =>
                Effect.fail(failed(step, defect instanceof Error ? defect.message : String(defect)))
              )
            )
      })
    }),
    { mailboxCapacity, concurrency: 1, maxIdleTime: Duration.infinity, defectRetryPolicy: Schedule.spaced("1 second") }
  )

/** Options of the driver. */
export interface ClientOptions {
  /**
   * Number of actors among which the prompts of a step are divided, 1 to 256. It determines the batches, so
   * log-probabilities may differ in the last bits between numbers of actors, but not between numbers of workers.
   * @default 1
   */
  readonly actors?: number | undefined
  /** Time limit of a batch, after which the step fails. @default 10 minutes */
  readonly patience?: Duration.Input | undefined
}

/**
 * Provides a rollout actor that sends prompts to the entities of the cluster, with the weights published at the call.
 */
export const layerClient = (
  { actors = 1, patience = "10 minutes" }: ClientOptions = {},
  of: RolloutEntity = entity
): Layer.Layer<RolloutActor, never, Sharding | OfferedWeights | PublishedWeights> =>
  Layer.effect(
    RolloutActor,
    Effect.gen(function*() {
      const client = yield* of.client
      const published = yield* PublishedWeights
      const offered = yield* OfferedWeights
      const ids = yield* Shards.ids(of, actors)
      const session = randomUUID()
      return RolloutActor.of({
        generate: Effect.fn("RolloutEntity.generate")(function*(prompts, step) {
          const weights = yield* offered.offer(yield* published.current).pipe(
            Effect.mapError(({ message }) => failed(step, `the weights cannot be offered: ${message}`))
          )
          const inbox = new GroupInbox(prompts, step, weights.version)
          const ask = (attempt: number) =>
            Effect.forEach(ids.entries(), ([own, id]) => {
              const part = inbox.missing.filter(({ ordinal }) => ordinal % ids.length === own)
              if (part.length === 0) return Effect.void
              return client(id).Draw(
                new DrawGroups({ session, step, attempt, weights, prompts: part }, Shards.unchecked)
              ).pipe(
                Effect.retry({ while: Shards.isTransient, schedule: Shards.again }),
                Effect.map((groups) => inbox.take(groups)),
                // The actor could not reach this process in time: the message is sent again.
                Effect.catchTag("WeightsGone", () => Effect.void),
                Effect.mapError((error) => error._tag === "RolloutError" ? error : failed(step, error.message))
              )
            }, { concurrency: "unbounded", discard: true })
          for (let attempt = 0; attempt === 0 || inbox.missing.length > 0; attempt++) {
            if (attempt > 0) yield* Effect.sleep("200 millis")
            yield* ask(attempt)
          }
          return inbox.rollouts
        }, (work, _, step) =>
          work.pipe(
            Effect.scoped,
            Effect.timeoutOrElse({
              duration: patience,
              orElse: () =>
                Effect.fail(
                  failed(
                    step,
                    `no answer within ${Duration.format(Duration.fromInputUnsafe(patience))}; ` +
                      "start a worker for this run, or give the actors more time"
                  )
                )
            })
          ))
      })
    })
  )
