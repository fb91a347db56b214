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

/** A best-first search that would have to expand too many prefixes. */
export class Unsettled extends Schema.TaggedError<Unsettled>()("Unsettled", {
  count: Schema.Int,
  prefixes: Schema.Int
}) {
  override get message() {
    return `finding ${this.count} SIDs of a prompt needs more than ${this.prefixes} expanded prefixes; ` +
      "request fewer SIDs, allow more prefixes, or use beam search"
  }
}

/** Failure of decoding; `reason` says which. */
export class DecoderError extends Schema.TaggedError<DecoderError>()("DecoderError", {
  reason: Schema.Union([PolicyError, PriorFailed, BadRequest, Unsettled])
}) {
  override get message() {
    return this.reason.message
  }
}

/** Wraps an error of the policy. */
export const ofPolicy = (reason: PolicyError): DecoderError => new DecoderError({ reason })
