/**
 * Settings of supervised fine-tuning: next-code prediction on whole sequences, with validation, best checkpoint and early
 * stop; the loop stands in `programs/Sft.ts`.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as BeamSearch from "../decode/BeamSearch.ts"
import * as AdamW from "../optimizer/AdamW.ts"
import * as LearningRate from "../optimizer/LearningRate.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings of a supervised run. */
export class SftConfig extends Schema.Class<SftConfig>("sidereal/sft/SftConfig")({
  /** Most passes over the data. @default 16 */
  epochs: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(16))),
  /** Validations without a better NDCG@10 before training stops. @default 2 */
  patience: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
  /** Passes between validations. @default 2 */
  epochsPerValidation: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
  /** Users drawn for validation, the same ones every time. @default 1000 */
  validationUsers: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1000))),
  /** Beams in validation, at most 4,096. @default 20 */
  validationBeams: Count.check(Schema.isLessThanOrEqualTo(BeamSearch.most)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(20))
  ),
  learningRate: LearningRate.LearningRateConfig.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({}))
  ),
  optimizer: AdamW.AdamWConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
}) {}

/** Tokens with a loss that supervised training has gone through. */
export const tokens: Metric.Counter<number> = Metric.counter("sidereal.sft.tokens", {
  description: "Tokens with a loss that supervised training has gone through",
  incremental: true
})

/** Marks the checkpoints of this phase. */
export const kind = "sft"
