/**
 * AdamW (Loshchilov and Hutter 2019) with clipping by global norm, in one pass over the flat regions of a buffer.
 *
 * `m = b1 m + (1-b1) g`, `v = b2 v + (1-b2) g^2`,
 * `p = (1 - lr decay) p - lr / (1-b1^t) * m / (sqrt(v) / sqrt(1-b2^t) + epsilon)`, as in PyTorch, with t from 1.
 * The gradient is first scaled by `min(1, clip / (norm + 1e-6))`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ParameterBuffer, type Region } from "../tensor/ParameterBuffer.ts"
import { NonFinite, TensorError } from "../tensor/TensorError.ts"

const Positive = Schema.Finite.check(Schema.isGreaterThan(0))
const Fraction = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThan(1))

/** Settings of AdamW; the learning rate comes from the schedule. */
export class AdamWConfig extends Schema.Class<AdamWConfig>("sidereal/optimizer/AdamWConfig")({
  /** Decay of the moving average of gradients, 0 to below 1. @default 0.9 */
  beta1: Fraction.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.9))),
  /** Decay of the moving average of squared gradients, 0 to below 1. @default 0.98 */
  beta2: Fraction.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.98))),
  /** Added to the root of the second moment. @default 1e-8 */
  epsilon: Positive.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1e-8))),
  /** Decoupled weight decay of matrices, a factor of the learning rate. @default 0.1 */
  weightDecay: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0.1))
  ),
  /** Largest global norm of the gradient. @default 1 */
  maxGradientNorm: Positive.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Decay of the moving average of the weights, 0 to below 1; 0 for no averaging. @default 0.99 */
  averaging: Fraction.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.99)))
}) {}

/** Report of one optimizer step. */
export interface StepReport {
  /** Euclidean norm of the gradient of all parameters, before clipping. */
  readonly gradientNorm: number
}

/**
 * Applies step number `step` (from 1) to the weights, from the gradients of the buffer.
 *
 * Returns an error when the gradient is not finite; the weights are then unchanged.
 */
export const apply = (
  buffer: ParameterBuffer,
  config: AdamWConfig,
  step: number,
  learningRate: number
): StepReport | TensorError => {
  const { decaying, trainable } = buffer
  const gradientNorm = Math.sqrt(buffer.kernels("gradients").sumOfSquares(buffer.address("gradients"), trainable))
  if (!Number.isFinite(gradientNorm)) {
    const bad = Object.entries(buffer.views("gradients")).find(([, values]) => values.some((x) => !Number.isFinite(x)))
    return new TensorError({
      reason: new NonFinite({
        tensor: `gradient of ${bad?.[0] ?? "all parameters"}`,
        step,
        value: String(gradientNorm)
      })
    })
  }
  // The average starts as the weights before the first step.
  const averaging = config.averaging > 0 ? buffer.kernels("average", "weights") : undefined
  const kernels = buffer.kernels("weights", "gradients", "first", "second")
  const clip = Math.min(1, config.maxGradientNorm / (gradientNorm + 1e-6))
  const rate = learningRate / (1 - config.beta1 ** step)
  const root = 1 / Math.sqrt(1 - config.beta2 ** step)
  const pass = (from: number, count: number, decay: number) => {
    if (count === 0) return
    const at = (region: Region) => buffer.address(region) + from * 4
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
  pass(0, decaying, config.weightDecay)
  pass(decaying, trainable - decaying, 0)
  averaging?.lerp(
    buffer.address("average"),
    buffer.address("weights"),
    trainable,
    1 - Math.min(config.averaging, step / (step + 10))
  )
  return { gradientNorm }
}
