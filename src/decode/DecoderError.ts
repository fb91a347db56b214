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

/** Failure of decoding; `reason` says which. */
export class DecoderError extends Schema.TaggedError<DecoderError>()("DecoderError", {
  reason: Schema.Union([PolicyError, PriorFailed, BadRequest])
}) {
  override get message() {
    return this.reason.message
  }
}

/** Wraps an error of the policy. */
export const ofPolicy = (reason: PolicyError): DecoderError => new DecoderError({ reason })
