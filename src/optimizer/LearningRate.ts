/**
 * Learning-rate schedule: linear warm-up, then a cosine or linear decay to a floor, or a constant peak.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Settings of the schedule. */
export class LearningRateConfig extends Schema.Class<LearningRateConfig>("sidereal/optimizer/LearningRateConfig")({
  /** Highest learning rate. @default 1e-3 */
  peak: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1e-3))),
  /** Steps of linear warm-up to the peak, at most a quarter of all steps. @default 200 */
  warmupSteps: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(200))
  ),
  /** Shape of the decay after the warm-up. @default cosine */
  decay: Schema.Literals(["cosine", "linear", "constant"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("cosine" as const))
  ),
  /** Final rate as a share of the peak, 0 to 1; ignored by `constant`. @default 0.05 */
  floor: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(1)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0.05))
  )
}) {}

/**
 * Returns the learning rate of step `step` (from 0) of `total` steps.
 *
 * @example
 * ```ts
 * import * as Schema from "effect/Schema"
 * import * as assert from "node:assert/strict"
 * import * as LearningRate from "sidereal/optimizer/LearningRate"
 *
 * const config = Schema.decodeSync(LearningRate.LearningRateConfig)({ peak: 1, warmupSteps: 10, floor: 0 })
 * const rates = [0, 4, 9, 99].map((step) => LearningRate.at(config, step, 100))
 * assert.deepEqual(rates.slice(0, 3), [0.1, 0.5, 1])
 * assert.ok(rates[3]! < 0.01)
 * ```
 */
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
