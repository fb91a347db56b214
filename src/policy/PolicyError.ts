/**
 * The tagged error of policies, with its reasons.
 */
import * as Schema from "effect/Schema"
import { TensorError } from "../tensor/TensorError.ts"

/** A prompt or an answer in a format that the family does not support. */
export class Unsupported extends Schema.TaggedError<Unsupported>()("Unsupported", {
  family: Schema.String,
  what: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `the ${this.family} policy does not support ${this.what}; ${this.remedy}`
  }
}

/** The embeddings of the items, which a policy reads as their content, are not available. */
export class NoContent extends Schema.TaggedError<NoContent>()("NoContent", {
  family: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the ${this.family} policy reads the embeddings of the items, which are not available: ${this.detail}; run \`sidereal embed\`, or use the flat policy`
  }
}

/** A folder of a model that the policy cannot use. */
export class UnusableFolder extends Schema.TaggedError<UnusableFolder>()("UnusableFolder", {
  folder: Schema.String,
  /** Problem with its remedy. */
  detail: Schema.String
}) {
  override get message() {
    return `the text policy cannot use ${this.folder}: ${this.detail}`
  }
}

/** A node that was passed to `score` before its parent. */
export class UnscoredParent extends Schema.TaggedError<UnscoredParent>()("UnscoredParent", {
  prompt: Schema.Int,
  node: Schema.Int,
  parent: Schema.Int
}) {
  override get message() {
    return `node ${this.node} of prompt ${this.prompt} cannot be scored before its parent ${this.parent}; ` +
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

/** Failure of a policy; `reason` says which. */
export class PolicyError extends Schema.TaggedError<PolicyError>()("PolicyError", {
  reason: Schema.Union([TensorError, Unsupported, NoContent, UnusableFolder, UnscoredParent, MissingLogProbs])
}) {
  override get message() {
    return this.reason.message
  }
}

/** Wraps an error of the tensor engine. */
export const ofTensor = (reason: TensorError): PolicyError => new PolicyError({ reason })
