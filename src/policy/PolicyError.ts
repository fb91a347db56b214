/**
 * The one error of policies, with the reason inside.
 */
import * as Schema from "effect/Schema"
import { TensorError } from "../tensor/TensorError.ts"

/** A prompt or an answer that a family cannot read. */
export class Unsupported extends Schema.TaggedError<Unsupported>()("Unsupported", {
  family: Schema.String,
  what: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `the ${this.family} policy cannot work with ${this.what}; ${this.remedy}`
  }
}

/** A node that was to be scored before its parent. */
export class UnscoredParent extends Schema.TaggedError<UnscoredParent>()("UnscoredParent", {
  prompt: Schema.Int,
  node: Schema.Int,
  parent: Schema.Int
}) {
  override get message() {
    return `node ${this.node} of prompt ${this.prompt} was to be scored, but its parent ${this.parent} was not; ` +
      "score the nodes of a path in order, the root first"
  }
}

/** A group without log-probabilities that its objective reads. */
export class MissingLogProbs extends Schema.TaggedError<MissingLogProbs>()("MissingLogProbs", {
  objective: Schema.String,
  what: Schema.Literals(["behaviour", "reference"]),
  group: Schema.Int
}) {
  override get message() {
    return `the objective "${this.objective}" needs the ${this.what} log-probabilities of every group, but group ` +
      `${this.group} has none; give them, or choose an objective that does without`
  }
}

/** Every way in which a policy fails. */
export class PolicyError extends Schema.TaggedError<PolicyError>()("PolicyError", {
  reason: Schema.Union([TensorError, Unsupported, UnscoredParent, MissingLogProbs])
}) {
  override get message() {
    return this.reason.message
  }
}

/** Wraps an error of the tensor engine. */
export const ofTensor = (reason: TensorError): PolicyError => new PolicyError({ reason })
