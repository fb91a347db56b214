/**
 * How messages name weights, which they never carry.
 */
import * as Schema from "effect/Schema"

/** The name of weights: their version, and the hash of their bytes where they leave the process. */
export class WeightsName extends Schema.Class<WeightsName>("sidereal/grpo/WeightsName")({
  /** Optimizer steps applied to them. */
  version: Schema.Int,
  /** sha256 of their safetensors file in hexadecimal; empty where no message leaves the process. */
  digest: Schema.String
}) {}

/** Weights that nobody has any more: the learner has replaced them, or another learner has taken its place. */
export class WeightsGone extends Schema.TaggedError<WeightsGone>()("WeightsGone", {
  version: Schema.Int,
  digest: Schema.String
}) {
  override get message() {
    return `version ${this.version} of the weights (${this.digest.slice(0, 12)}) is not offered any more; ` +
      "ask again with the current one"
  }
}
