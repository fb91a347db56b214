/**
 * What a driver and reward actors tell each other: groups out, rewards back.
 */
import * as PrimaryKey from "effect/PrimaryKey"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { Float32s, Int32s } from "./TypedArrays.ts"

/** A group as it travels. */
export const Group = Schema.Struct({
  user: Schema.Int,
  history: Int32s,
  target: Schema.Int,
  items: Int32s,
  hits: Schema.Array(Schema.Boolean)
})

/** Asks for the rewards of a batch, which is never split: a reward may compare its groups. */
export class ScoreGroups extends Schema.Class<ScoreGroups>("sidereal/grpo/ScoreGroups")({
  /** The driver that asks: another one, or the same started again, asks anew. */
  session: Schema.String,
  /** Number of the batch in the session. */
  batch: Schema.Int,
  groups: Schema.Array(Group)
}) {
  /** A message that is delivered again has the key of the first one. */
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

/** What a group earned. Plain data: an answer within a process costs nothing. */
export const GroupRewards = Schema.Struct({
  /** [G]. */
  total: Float32s,
  /** [G] by reward; null where it does not apply. */
  parts: Schema.Record(Schema.String, Schema.NullOr(Float32s))
})
