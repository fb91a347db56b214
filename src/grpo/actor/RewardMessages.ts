/**
 * Messages between a driver and reward actors: requests with groups, and answers with their rewards.
 */
import * as PrimaryKey from "effect/PrimaryKey"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { Float32s, Int32s } from "./TypedArrays.ts"

/** Serialised `RewardGroup`. */
export const Group = Schema.Struct({
  user: Schema.Int,
  history: Int32s,
  target: Schema.Int,
  items: Int32s,
  hits: Schema.Array(Schema.Boolean)
})

/** Request for the rewards of a batch, which is never split, because a reward may compare its groups. */
export class ScoreGroups extends Schema.Class<ScoreGroups>("sidereal/grpo/ScoreGroups")({
  /** Identifier of the driver's run; a restarted driver has a new one, so that old answers are not reused. */
  session: Schema.String,
  /** Number of the batch within the session. */
  batch: Schema.Int,
  groups: Schema.Array(Group)
}) {
  /** Returns the key of the message, which is the same when the message is delivered again. */
  [PrimaryKey.symbol](): string {
    const sum = createHash("sha256")
    for (const { history, hits, items, target, user } of this.groups) {
      sum.update(Int32Array.of(user, target, history.length, items.length))
      sum.update(history)
      sum.update(items)
      sum.update(Uint8Array.from(hits, Number))
    }
    return `${this.session}/${this.batch}/${sum.digest("hex")}`
  }
}

/** Serialised rewards of a group. Plain data, which is not copied within a process. */
export const GroupRewards = Schema.Struct({
  /** Weighted sum of the rewards, [G]. */
  total: Float32s,
  /** Each reward by name before normalisation and weight, [G]; null where it does not apply. */
  parts: Schema.Record(Schema.String, Schema.NullOr(Float32s))
})
