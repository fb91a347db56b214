/**
 * Messages between a driver and rollout actors: requests with prompts, and answers with their groups.
 */
import * as PrimaryKey from "effect/PrimaryKey"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { type RolloutPrompt } from "../Prompts.ts"
import { type Rollout } from "../RolloutActor.ts"
import { Float32s, Float64s, Int32s } from "./TypedArrays.ts"
import { WeightsName } from "./WeightsName.ts"

/** Serialised `RolloutPrompt`. */
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
 * Request for the groups of some prompts of a step. The answer depends on the message alone, so that a repeated
 * delivery and any other process return the same answer.
 */
export class DrawGroups extends Schema.Class<DrawGroups>("sidereal/grpo/DrawGroups")({
  /** Identifier of the driver's run; a restarted driver has a new one, so that old answers are not reused. */
  session: Schema.String,
  /** Step, from 1. */
  step: Schema.Int,
  /** Number of earlier requests for groups of this step that were not answered. */
  attempt: Schema.Int,
  /** Name of the weights that draw the groups. */
  weights: WeightsName,
  prompts: Schema.Array(Prompt)
}) {
  /** Returns the key of the message, which is the same when the message is delivered again. */
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

/** Serialised candidates of the prompt with this step and ordinal. Plain data, which is not copied within a process. */
export const DrawnGroup = Schema.Struct({
  step: Schema.Int,
  ordinal: Schema.Int,
  /** Version of the weights that drew it. */
  version: Schema.Int,
  /** Trie nodes of the candidates, [G]. */
  leaves: Int32s,
  /** Item numbers of the candidates, [G]. */
  items: Int32s,
  /** Whether each candidate's SID is the target's, [G]. */
  hits: Schema.Array(Schema.Boolean),
  /**
   * Log-probability of each step under the weights that drew it, [G][steps]; absent if the objective does not need it.
   */
  behaviour: Schema.optional(Schema.Array(Float32s)),
  /** First steps of every candidate that a hint set. @default 0 */
  forced: Schema.optional(Schema.Int)
})

/** @see DrawnGroup */
export type DrawnGroup = typeof DrawnGroup.Type

/** Converts a rollout of step `step` to its message, without the prompt, which the driver keeps. */
export const ofRollout = (step: number, { prompt: { ordinal }, ...drawn }: Rollout): DrawnGroup => ({
  step,
  ordinal,
  ...drawn
})

/** Converts a message to the rollout of its prompt. */
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
