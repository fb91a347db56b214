/**
 * Settings of supervised fine-tuning (SFT): next-code prediction on whole sequences, with validation, selection of the
 * best checkpoint and early stopping. The loop is in `programs/Sft.ts`.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as BeamSearch from "../decode/BeamSearch.ts"
import * as AdamW from "../optimizer/AdamW.ts"
import * as LearningRate from "../optimizer/LearningRate.ts"
import { AugmentationConfig } from "./Augmentation.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Settings of a supervised run. */
export class SftConfig extends Schema.Class<SftConfig>("sidereal/sft/SftConfig")({
  /** Largest number of passes over the training data. @default 16 */
  epochs: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(16))),
  /** Consecutive validations without a better NDCG@10 after which training stops. @default 2 */
  patience: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
  /** Passes over the training data between validations. @default 2 */
  epochsPerValidation: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(2))),
  /** Users drawn for validation, the same for every validation. @default 1000 */
  validationUsers: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1000))),
  /** Beams in validation, at most 4,096. @default 20 */
  validationBeams: Count.check(Schema.isLessThanOrEqualTo(BeamSearch.most)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(20))
  ),
  /**
   * Number of the best validations whose weights are averaged at the end; the average is validated and kept if it is
   * better. Checkpoints and memory hold as many copies of the weights; 1 averages nothing.
   * @default 1
   */
  averagedCheckpoints: Count.check(Schema.isLessThanOrEqualTo(100)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(1))
  ),
  /**
   * Augmentation of the training sequences. The schedule of the learning rate has the steps of the sequences without
   * it; shorter sequences take fewer steps, and end above the floor.
   * @default none
   */
  augmentation: AugmentationConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** Learning-rate schedule. @default peak 1e-3, warm-up 200 steps, cosine to 0.05 of the peak */
  learningRate: LearningRate.LearningRateConfig.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({}))
  ),
  /** Settings of AdamW. @default those of AdamWConfig */
  optimizer: AdamW.AdamWConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
}) {}

/** Counter of the tokens with a loss processed by supervised training. */
export const tokens: Metric.Counter<number> = Metric.counter("sidereal.sft.tokens", {
  description: "Tokens with a loss processed by supervised training",
  incremental: true
})

/** Kind of the checkpoints of this phase. */
export const kind = "sft"

/** Kind of the checkpoints of the control of GRPO: training that goes on from the best checkpoint of this phase. */
export const continued = "control"
