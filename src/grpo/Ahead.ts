/**
 * Rollouts one step ahead: during the update of step n, an actor already draws the groups of step n + 1.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { PublishedWeights } from "../policy/PublishedWeights.ts"
import { type RolloutPrompt } from "./Prompts.ts"
import { type Rollout, RolloutActor } from "./RolloutActor.ts"
import { type RolloutError } from "./RolloutError.ts"

/** Options of drawing ahead. */
export interface AheadOptions {
  /** Function that returns the prompts that the loop requests first in a step; undefined after the last step. */
  readonly prompts: (step: number) => ReadonlyArray<RolloutPrompt> | undefined
  /**
   * Function that returns whether the loop may resume after a step, from a checkpoint. The groups of the next step are
   * then drawn after the update, so that a resumed run draws the same groups. @default never
   */
  readonly resumable?: ((step: number) => boolean) | undefined
  /**
   * Largest age of the weights of a group when the loop takes it, in optimizer steps behind the published weights; an
   * older batch is drawn again. @default 1
   */
  readonly maxStaleness?: number | undefined
}

interface Drawing {
  readonly step: number
  readonly prompts: ReadonlyArray<RolloutPrompt>
  readonly fiber: Fiber.Fiber<ReadonlyArray<Rollout>, RolloutError>
}

/**
 * Provides an actor that draws one step ahead with the actor of the context.
 *
 * Responsibilities: starts the groups of step n + 1 when it returns those of step n, with the weights published at that
 * moment, before the update of step n. Ordering: the loop receives steps in the order of its requests. Back-pressure:
 * at most one batch is drawn ahead. Completion means the same as for the actor of the context, except that the weights
 * of a batch may be `maxStaleness` optimizer steps old; its log-probabilities are those under the weights that drew it,
 * so that an objective can correct for the age. Deterministic: the weights that draw a step do not depend on the speed
 * of the actor or the learner. A crash loses the batch ahead, which is drawn again.
 */
export const layer = (
  { maxStaleness = 1, prompts: promptsOf, resumable = () => false }: AheadOptions
): Layer.Layer<RolloutActor, never, RolloutActor | PublishedWeights> =>
  Layer.effect(
    RolloutActor,
    Effect.gen(function*() {
      const actor = yield* RolloutActor
      const published = yield* PublishedWeights
      const scope = yield* Effect.scope
      let drawing: Drawing | undefined

      const drop = Effect.suspend(() => {
        const gone = drawing
        drawing = undefined
        return gone === undefined ? Effect.void : Fiber.interrupt(gone.fiber)
      })

      /** Starts drawing a step; the weights are pinned before this returns. */
      const begin = Effect.fnUntraced(function*(step: number) {
        const prompts = promptsOf(step)
        if (prompts === undefined) return
        const fiber = yield* Effect.forkIn(actor.generate(prompts, step), scope, { startImmediately: true })
        drawing = { step, prompts, fiber }
      })

      const version = Effect.scoped(Effect.map(published.current, (weights) => weights.version))

      const taken = Effect.fnUntraced(function*(prompts: ReadonlyArray<RolloutPrompt>, step: number) {
        // Further groups of a step, as dynamic sampling asks for them: the next step is being drawn already.
        if (drawing?.step === step + 1) return yield* actor.generate(prompts, step)
        if (drawing === undefined || drawing.step !== step || !areSame(drawing.prompts, prompts)) {
          yield* drop
          return yield* actor.generate(prompts, step)
        }
        const { fiber } = drawing
        const exit = yield* Effect.onInterrupt(Fiber.await(fiber), () => drop)
        drawing = undefined
        const rollouts = yield* exit
        const oldest = (yield* version) - maxStaleness
        return rollouts.every((rollout) => rollout.version >= oldest) ? rollouts : yield* actor.generate(prompts, step)
      })

      return RolloutActor.of({
        generate: Effect.fn("Ahead.generate")(function*(prompts, step) {
          const rollouts = yield* taken(prompts, step)
          if (!resumable(step) && drawing?.step !== step + 1) yield* begin(step + 1)
          return rollouts
        })
      })
    })
  )

const areEqual = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

const areSame = (drawn: ReadonlyArray<RolloutPrompt>, asked: ReadonlyArray<RolloutPrompt>): boolean =>
  drawn.length === asked.length && drawn.every(({ history, ordinal, target }, i) => {
    const other = asked[i]!
    return ordinal === other.ordinal && target === other.target && history.user === other.history.user &&
      areEqual(history.items, other.history.items)
  })
