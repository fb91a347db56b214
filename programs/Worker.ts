/**
 * Worker: a process that draws rollouts for GRPO, while another process trains the policy of the run.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Sockets from "../layers/cluster/Sockets.ts"
import * as Cluster from "./Cluster.ts"
import * as Note from "./Note.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import * as Rollouts from "./Rollouts.ts"
import * as Teachers from "./Teachers.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Options of a worker. */
export interface WorkerOptions {
  /** Cluster of the driver. */
  readonly at: Cluster.Place
  /** Policy family, the same as the driver's. @default the flat policy */
  readonly policy?: Policies.PolicyLayer | undefined
}

/**
 * Draws rollouts until it is interrupted; returns when the settings of the run change, so that the caller can open the
 * run again. It reads the run's data, SIDs and trained teacher and writes nothing; weights come from the training process.
 */
export const program = Effect.fn("worker")(function*({ at, policy = Policies.chosen }: WorkerOptions) {
  const { run, settings } = yield* Workspace
  const prepared = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const name = yield* Cluster.name
  const draw = Effect.gen(function*() {
    const teacher = Teachers.isNeeded(settings.grpo)
      ? yield* Teachers.shared(settings.grpo.teacher, prepared)
      : undefined
    const { historyExcluded } = settings.evaluation
    yield* Layer.build(
      Sockets.answerRollouts(Rollouts.layer(settings.grpo, { historyExcluded, seed: settings.seed, teacher })).pipe(
        Layer.provide(policy),
        Layer.provide(Policies.catalogue(prepared.dataset, index)),
        Layer.provide(Sockets.layerWorker({ ...at, name }))
      )
    )
    yield* Note.print(
      `draws for ${run} as part of ${name}, reached at ${at.address.host}:${at.address.port}; interrupt it to end it`
    )
    return yield* Effect.never
  })
  const isOther = Cluster.name.pipe(
    Effect.repeat({ schedule: Schedule.spaced("2 seconds"), until: (now) => now !== name })
  )
  yield* Effect.raceFirst(Effect.scoped(draw), isOther)
  yield* Note.print(`the settings of ${run} have changed; opening it again`)
})
