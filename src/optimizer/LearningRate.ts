/**
 * Learning rates over time: linear warm-up, then a cosine or a line down to a floor, or the peak for good.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Settings of the schedule. */
export class LearningRateConfig extends Schema.Class<LearningRateConfig>("sidereal/optimizer/LearningRateConfig")({
  /** The highest rate. @default 1e-3 */
  peak: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1e-3))),
  /** Steps from 0 to the peak. @default 200 */
  warmupSteps: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(200))
  ),
  /** How the rate falls after the warm-up. @default cosine */
  decay: Schema.Literals(["cosine", "linear", "constant"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("cosine" as const))
  ),
  /** The last rate as a share of the peak; `constant` ignores it. @default 0.05 */
  floor: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0.05))
  )
}) {}

/** The rate of step `step` (from 0) out of `total`. */
export const at = (config: LearningRateConfig, step: number, total: number): number => {
  const warmup = Math.min(config.warmupSteps, Math.floor(total / 4))
  if (step < warmup) return config.peak * (step + 1) / warmup
  const progress = Math.min(1, (step - warmup) / Math.max(1, total - warmup))
  const left = config.decay === "cosine"
    ? 0.5 * (1 + Math.cos(Math.PI * progress))
    : config.decay === "linear"
    ? 1 - progress
    : 1
  return config.peak * (config.decay === "constant" ? 1 : config.floor + (1 - config.floor) * left)
}
