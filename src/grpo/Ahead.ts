/**
 * Rollouts drawn ahead: while the learner makes step n, an actor already draws the groups of step n + 1.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { PublishedWeights } from "../policy/PublishedWeights.ts"
import { type RolloutPrompt } from "./Prompts.ts"
import { type Rollout, RolloutActor } from "./RolloutActor.ts"
import { type RolloutError } from "./RolloutError.ts"

/** What drawing ahead must know of the loop. */
export interface AheadOptions {
  /** The prompts that the loop will ask for first in a step; undefined after the last step. */
  readonly prompts: (step: number) => ReadonlyArray<RolloutPrompt> | undefined
  /**
   * Whether the loop may begin again after a step, as it does from a checkpoint: the next groups are drawn after its
   * update then, so that a training that begins there draws the same. @default never
   */
  readonly resumable?: ((step: number) => boolean) | undefined
  /**
   * Optimizer steps that the weights of a group may be behind those published when the loop takes it; a batch that is
   * further behind is drawn again. @default 1
   */
  readonly maxStaleness?: number | undefined
}

interface Drawing {
  readonly step: number
  readonly prompts: ReadonlyArray<RolloutPrompt>
  readonly fiber: Fiber.Fiber<ReadonlyArray<Rollout>, RolloutError>
}

/**
 * Draws one step ahead with the actor of the context.
 *
 * Responsibilities: begins the groups of step n + 1 when those of step n are handed over, with the weights of that moment,
 * which are those before the update of step n. Ordering: the loop gets its steps in the order in which it asks. Back-pressure:
 * one batch ahead, never two. Completion means what it means of the actor, but the weights of a batch may be `maxStaleness`
 * steps old; its log-probabilities are those that it was drawn with, so that an objective can correct for it. Deterministic:
 * which weights draw a step does not depend on who is faster. A crash loses the batch ahead, which is drawn again.
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

      /** Begins a step; the weights are pinned before this returns. */
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
