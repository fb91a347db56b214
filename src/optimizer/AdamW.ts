/**
 * AdamW (Loshchilov and Hutter 2019) with clipping by global norm, as one pass over the flat buffer.
 *
 * `m = b1 m + (1-b1) g`, `v = b2 v + (1-b2) g^2`,
 * `p = (1 - lr decay) p - lr / (1-b1^t) * m / (sqrt(v) / sqrt(1-b2^t) + epsilon)`; torch's form, decay decoupled.
 * The gradient is first scaled by `min(1, clip / (norm + 1e-6))`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ParameterBuffer } from "../tensor/ParameterBuffer.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"

const Positive = Schema.Finite.check(Schema.isGreaterThan(0))
const Fraction = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThan(1))

/** Settings of the optimizer; the learning rate comes from the schedule. */
export class AdamWConfig extends Schema.Class<AdamWConfig>("sidereal/optimizer/AdamWConfig")({
  beta1: Fraction.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.9))),
  beta2: Fraction.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.98))),
  epsilon: Positive.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1e-8))),
  /** Decoupled weight decay of matrices. @default 0.1 */
  weightDecay: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0.1))
  ),
  /** Largest global norm of the gradient. @default 1 */
  maxGradientNorm: Positive.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Share of the old value in the moving average of the weights, 0 for no averaging. @default 0.99 */
  averaging: Fraction.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.99)))
}) {}

/** What one step did. */
export interface StepReport {
  /** Global norm of the gradient before clipping. */
  readonly gradientNorm: number
}

/**
 * Applies step number `step` (from 1) to the weights, reading the gradients of the buffer.
 *
 * Returns the error instead when the gradient is not finite; the weights are then untouched.
 */
export const apply = (
  buffer: ParameterBuffer,
  config: AdamWConfig,
  step: number,
  learningRate: number
): StepReport | TensorError => {
  const { kernels, length } = buffer
  const gradientNorm = Math.sqrt(kernels.sumOfSquares(buffer.address("gradients"), length))
  if (!Number.isFinite(gradientNorm)) {
    const bad = buffer.slots.find((slot) => buffer.view("gradients", slot.name).some((x) => !Number.isFinite(x)))
    return new TensorError({
      reason: new NonFinite({
        tensor: `gradient of ${bad?.name ?? "all parameters"}`,
        step,
        value: String(gradientNorm)
      })
    })
  }
  const clip = Math.min(1, config.maxGradientNorm / (gradientNorm + 1e-6))
  const rate = learningRate / (1 - config.beta1 ** step)
  const root = 1 / Math.sqrt(1 - config.beta2 ** step)
  const pass = (from: number, count: number, decay: number) => {
    if (count === 0) return
    const at = (region: "weights" | "gradients" | "first" | "second") => buffer.address(region) + from * 4
    kernels.adamw(
      at("weights"),
      at("gradients"),
      at("first"),
      at("second"),
      count,
      clip,
      config.beta1,
      config.beta2,
      config.epsilon,
      1 - learningRate * decay,
      rate,
      root
    )
  }
  pass(0, buffer.decaying, config.weightDecay)
  pass(buffer.decaying, length - buffer.decaying, 0)
  if (config.averaging > 0) {
    const keep = Math.min(config.averaging, step / (step + 10))
    kernels.lerp(buffer.address("average"), buffer.address("weights"), length, 1 - keep)
  }
  return { gradientNorm }
}
