/**
 * What a driver and rollout actors tell each other: prompts out, groups back.
 */
import * as PrimaryKey from "effect/PrimaryKey"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { type RolloutPrompt } from "../Prompts.ts"
import { type Rollout } from "../RolloutActor.ts"
import { Float32s, Float64s, Int32s } from "./TypedArrays.ts"
import { WeightsName } from "./WeightsName.ts"

/** A prompt as it travels. */
export const Prompt = Schema.Struct({
  ordinal: Schema.Int,
  history: Schema.Struct({
    user: Schema.Int,
    items: Int32s,
    times: Schema.optional(Float64s)
  }),
  target: Schema.Int
})

/**
 * Asks for the groups of some prompts of a step. The answer depends on the message alone, so that it may be delivered
 * again, or answered by another process, without a difference.
 */
export class DrawGroups extends Schema.Class<DrawGroups>("sidereal/grpo/DrawGroups")({
  /** The driver that asks: another one, or the same started again, asks anew. */
  session: Schema.String,
  /** Step, from 1. */
  step: Schema.Int,
  /** Times that groups of this step were asked for before and not answered. */
  attempt: Schema.Int,
  /** Weights to draw with. */
  weights: WeightsName,
  prompts: Schema.Array(Prompt)
}) {
  /** A message that is delivered again has the key of the first one. */
  [PrimaryKey.symbol](): string {
    const sum = createHash("sha256")
    for (const { history, ordinal, target } of this.prompts) {
      sum.update(Int32Array.of(ordinal, target, history.user, history.items.length))
      sum.update(history.items)
      if (history.times !== undefined) sum.update(history.times)
    }
    const { digest, version } = this.weights
    sum.update(digest)
    return `${this.session}/${this.step}/${this.attempt}/${version}/${sum.digest("hex")}`
  }
}

/** The candidates of a prompt, which step and ordinal name. Plain data: an answer within a process costs nothing. */
export const DrawnGroup = Schema.Struct({
  step: Schema.Int,
  ordinal: Schema.Int,
  /** Version of the weights that drew it. */
  version: Schema.Int,
  /** [G]. */
  leaves: Int32s,
  /** [G]. */
  items: Int32s,
  /** [G]. */
  hits: Schema.Array(Schema.Boolean),
  /** [G][L], where the objective needs it. */
  behaviour: Schema.optional(Schema.Array(Float32s)),
  /** Steps of every candidate that were given and not drawn. */
  forced: Schema.optional(Schema.Int)
})

/** @see DrawnGroup */
export type DrawnGroup = typeof DrawnGroup.Type

/** Returns a rollout as it travels: the prompt stays with whoever asked. */
export const ofRollout = (step: number, { prompt: { ordinal }, ...drawn }: Rollout): DrawnGroup => ({
  step,
  ordinal,
  ...drawn
})

/** Returns the rollout of a group. */
export const toRollout = (
  prompt: RolloutPrompt,
  { behaviour, forced, hits, items, leaves, version }: DrawnGroup
): Rollout => ({
  prompt,
  version,
  leaves,
  items,
  hits,
  ...(behaviour === undefined ? {} : { behaviour }),
  ...(forced === undefined ? {} : { forced })
})
