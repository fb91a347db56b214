/**
 * Names of weights in messages, which never contain the weights themselves.
 */
import * as Schema from "effect/Schema"

/** Name of weights: their version and, if they leave the process, the hash of their bytes. */
export class WeightsName extends Schema.Class<WeightsName>("sidereal/grpo/WeightsName")({
  /** Optimizer steps applied to them. */
  version: Schema.Int,
  /** SHA-256 of their safetensors file in hexadecimal; empty if all actors are in one process. */
  digest: Schema.String
}) {}

/** Weights that are no longer offered, because the learner has replaced them or was itself replaced. */
export class WeightsGone extends Schema.TaggedError<WeightsGone>()("WeightsGone", {
  version: Schema.Int,
  digest: Schema.String
}) {
  override get message() {
    return `version ${this.version} of the weights (${this.digest.slice(0, 12)}) is no longer offered; ` +
      "request the groups again with the current version"
  }
}
