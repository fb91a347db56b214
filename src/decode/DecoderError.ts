/**
 * The tagged error of decoders, with its reasons.
 */
import * as Schema from "effect/Schema"
import { PolicyError } from "../policy/PolicyError.ts"

/** A prior that could not be computed. */
export class PriorFailed extends Schema.TaggedError<PriorFailed>()("PriorFailed", {
  prior: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `the prior "${this.prior}" failed: ${this.detail}; decode without it, or correct the data it is built from`
  }
}

/** A decoding request with a value out of range. */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", {
  request: Schema.Int,
  field: Schema.String,
  value: Schema.Finite,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.field} of request ${this.request} is ${this.value}; ${this.remedy}`
  }
}

/** An exact search that would have to look at too many prefixes. */
export class Unsettled extends Schema.TaggedError<Unsettled>()("Unsettled", {
  count: Schema.Int,
  prefixes: Schema.Int
}) {
  override get message() {
    return `${this.prefixes} prefixes of a prompt do not settle which ${this.count} SIDs come first; ` +
      "ask for fewer SIDs, allow more prefixes, or use beam search"
  }
}

/** Every way in which decoding fails. */
export class DecoderError extends Schema.TaggedError<DecoderError>()("DecoderError", {
  reason: Schema.Union([PolicyError, PriorFailed, BadRequest, Unsettled])
}) {
  override get message() {
    return this.reason.message
  }
}

/** Wraps an error of the policy. */
export const ofPolicy = (reason: PolicyError): DecoderError => new DecoderError({ reason })
