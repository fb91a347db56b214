/**
 * Where the rollouts of a run are drawn: in this process, behind a mailbox, or by workers; and whether a step ahead.
 *
 * The process that trains holds the learner and the reference, and is the only one: the lock of the run's folder keeps
 * every other away. So the learner is no singleton of the cluster, which could move to a process without its weights.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as InProcess from "../layers/cluster/InProcess.ts"
import * as Ahead from "../src/grpo/Ahead.ts"
import { type RolloutActor } from "../src/grpo/RolloutActor.ts"
import { type PublishedWeights } from "../src/policy/PublishedWeights.ts"
import * as Cluster from "./Cluster.ts"
import * as Note from "./Note.ts"
import { Workspace } from "./Workspace.ts"

/** Choices of a place. */
export interface PlaceOptions {
  /** Where workers are met that draw; by default this process draws. */
  readonly at?: Cluster.Place | undefined
  /** How the groups of the next step are drawn while a step is learned from; by default they are not. */
  readonly ahead?: Ahead.AheadOptions | undefined
}

const byWorkers = (at: Cluster.Place) =>
  Layer.unwrap(Effect.gen(function*() {
    const { run } = yield* Workspace
    const name = yield* Cluster.name
    // Drivers of databases are loaded when they are needed.
    const Sockets = yield* Effect.promise(() => import("../layers/cluster/Sockets.ts"))
    yield* Note.print(
      `trains as part of ${name}, reached at ${at.address.host}:${at.address.port}; ` +
        `workers: sidereal worker --cluster ... --run ${run}`
    )
    return Sockets.rollouts().pipe(Layer.provide(Sockets.layerDriver({ ...at, name })))
  }))

/** Places an actor. The one given draws where this process does; workers have their own. */
export const layer = <E, R>(actor: Layer.Layer<RolloutActor, E, R>, { ahead, at }: PlaceOptions = {}) => {
  type Placed = Layer.Layer<
    RolloutActor,
    E | Layer.Error<ReturnType<typeof byWorkers>>,
    Exclude<R, PublishedWeights> | PublishedWeights | Layer.Services<ReturnType<typeof byWorkers>>
  >
  const placed: Placed = at === undefined ? InProcess.rollouts(actor) : byWorkers(at)
  return ahead === undefined ? placed : Ahead.layer(ahead).pipe(Layer.provide(placed))
}
