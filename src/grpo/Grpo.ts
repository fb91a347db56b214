/**
 * Settings of GRPO (Shao et al. 2024) on constrained beams, as MiniOneRec does it; the loop stands in
 * `programs/Grpo.ts`.
 *
 * Differs from the paper: candidates come from beam search, not from sampling; one optimizer step per batch of prompts,
 * so the ratio is 1 and needs no clipping. Differs from MiniOneRec: log-probabilities are normalised over the legal
 * children of the trie; a group whose rewards are all equal is left out of the step instead of contributing its
 * divergence alone; the G candidates of a group form one tree, computed once. The divergence is k3,
 * `exp(r - l) - (r - l) - 1`, with l and r the log-probabilities under the policy and the reference.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as BeamSearch from "../decode/BeamSearch.ts"
import * as AdamW from "../optimizer/AdamW.ts"
import * as LearningRate from "../optimizer/LearningRate.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** Settings of a GRPO run. */
export class GrpoConfig extends Schema.Class<GrpoConfig>("sidereal/grpo/GrpoConfig")({
  /** Optimizer steps. @default 60 */
  steps: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(60))),
  /** Prompts per step; with G = 16 the default makes 1,024 candidates per step. @default 64 */
  promptsPerStep: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(64))),
  /** Candidates per prompt, G, 2 to 4,096. @default 16 */
  groupSize: Schema.Int.check(Schema.isGreaterThanOrEqualTo(2), Schema.isLessThanOrEqualTo(BeamSearch.most)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(16))
  ),
  /** Weight of the divergence from the reference, at most 1e6. @default 0.2 */
  beta: NonNegative.check(Schema.isLessThanOrEqualTo(1e6)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.2))),
  /** Weight of each reward in the total, by name. @default rule 1, ranking 1 */
  rewards: Schema.Record(Schema.String, Schema.Finite).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({ rule: 1, ranking: 1 }))
  ),
  /** Optimizer steps between validations. @default 20 */
  stepsPerValidation: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(20))),
  /** Users drawn for validation. @default 1000 */
  validationUsers: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1000))),
  /** Beams in validation, at most 4,096. @default 20 */
  validationBeams: Count.check(Schema.isLessThanOrEqualTo(BeamSearch.most)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(20))
  ),
  /** Learning-rate schedule. @default peak 3e-5, warm-up 5 steps, floor 0.1 */
  learningRate: LearningRate.LearningRateConfig.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({ peak: 3e-5, warmupSteps: 5, floor: 0.1 }))
  ),
  /** Settings of AdamW. @default no weight decay, averaging 0.9 */
  optimizer: AdamW.AdamWConfig.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({ weightDecay: 0, averaging: 0.9 }))
  )
}) {}

/** Kind of the checkpoints of this phase. */
export const kind = "grpo"
