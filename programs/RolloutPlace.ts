/**
 * Placement of a run's rollout actor: in this process with a mailbox, or on workers; and drawing one step ahead.
 *
 * The training process holds the learner and the reference; the lock of the run's folder makes it the only one. The
 * learner is therefore not a singleton of the cluster, which could move to a process without its weights.
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

/** Options of the placement. */
export interface PlaceOptions {
  /** Cluster whose workers draw the rollouts. @default this process draws them */
  readonly at?: Cluster.Place | undefined
  /** Options of drawing one step ahead. @default not ahead */
  readonly ahead?: Ahead.AheadOptions | undefined
}

const byWorkers = (at: Cluster.Place) =>
  Layer.unwrap(Effect.gen(function*() {
    const { run } = yield* Workspace
    const name = yield* Cluster.name
    // Database drivers are loaded only when they are needed.
    const Sockets = yield* Effect.promise(() => import("../layers/cluster/Sockets.ts"))
    yield* Note.print(
      `trains as part of ${name}, reached at ${at.address.host}:${at.address.port}; ` +
        `workers: sidereal worker --cluster ... --run ${run}`
    )
    return Sockets.rollouts().pipe(Layer.provide(Sockets.layerDriver({ ...at, name })))
  }))

/** Provides the placed actor: `actor` in this process, or the workers' own actors instead of it. */
export const layer = <E, R>(actor: Layer.Layer<RolloutActor, E, R>, { ahead, at }: PlaceOptions = {}) => {
  type Placed = Layer.Layer<
    RolloutActor,
    E | Layer.Error<ReturnType<typeof byWorkers>>,
    Exclude<R, PublishedWeights> | PublishedWeights | Layer.Services<ReturnType<typeof byWorkers>>
  >
  const placed: Placed = at === undefined ? InProcess.rollouts(actor) : byWorkers(at)
  return ahead === undefined ? placed : Ahead.layer(ahead).pipe(Layer.provide(placed))
}
