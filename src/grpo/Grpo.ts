/**
 * Settings of GRPO (Shao et al. 2024) and its relatives on the tree of SIDs; the loop stands in `programs/Grpo.ts`.
 *
 * By default it distils a collaborative teacher on the policy's own candidates: each prompt's beams and the teacher's best
 * items form a group, and the policy learns the distribution that maximises the expected reward (the log of the teacher's
 * mass, weighted) less the divergence from the supervised policy, by its exact gradient.
 *
 * Differs from the paper: candidates come from beam search by default; log-probabilities are normalised over the legal
 * children of the trie; a group without any difference in reward is left out of the step; G candidates are one tree,
 * computed once.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as BeamSearch from "../decode/BeamSearch.ts"
import * as ObjectiveConfig from "../objective/ObjectiveConfig.ts"
import * as AdamW from "../optimizer/AdamW.ts"
import * as LearningRate from "../optimizer/LearningRate.ts"
import * as Advantage from "./Advantage.ts"
import { PromptsConfig } from "./Prompts.ts"
import { ReferenceConfig } from "./ReferenceModel.ts"
import { RolloutConfig } from "./rollout/RolloutConfig.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** Gives settings other defaults, field by field: one that is given leaves the others as they are here. */
const defaulting = <S extends Schema.Codec<object, object>>(settings: S, defaults: Partial<S["Encoded"]>) =>
  Schema.toEncoded(settings).pipe(
    Schema.decodeTo(
      settings,
      SchemaTransformation.transform({
        decode: (given: S["Encoded"]): S["Encoded"] => ({ ...defaults, ...given }),
        encode: (all: S["Encoded"]) => all
      })
    )
  )

/** Settings of a GRPO run. */
export class GrpoConfig extends Schema.Class<GrpoConfig>("sidereal/grpo/GrpoConfig")({
  /** Batches of prompts; larger data learn from more of them. @default 120 */
  steps: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(120))),
  /** Prompts of a step. @default 64 */
  promptsPerStep: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(64))),
  /** Candidates that the policy draws per prompt, G, 2 to 4,096; others may join them. @default 24 */
  groupSize: Schema.Int.check(Schema.isGreaterThanOrEqualTo(2), Schema.isLessThanOrEqualTo(BeamSearch.most)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(24))
  ),
  /** @default training positions by epochs */
  prompts: PromptsConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** @default beams, with the teacher's 24 best items */
  rollout: RolloutConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /**
   * Scorer that knows items better than the policy: item-to-item counts, SASRec, or their geometric mean.
   * @default item-knn
   */
  teacher: Schema.Literals(["item-knn", "sasrec", "fusion"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("item-knn" as const))
  ),
  /**
   * Weights that are tried for the teacher as a prior beside the policy of the start, by NDCG@10 on validation users; the
   * best multiplies the collaborative reward. None: the reward counts by its weight alone. @default 0.5, 1, 2, 4, 6
   */
  teacherWeights: Schema.Array(Schema.Finite.check(Schema.isGreaterThan(0))).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed([0.5, 1, 2, 4, 6]))
  ),
  /**
   * Weights of the rewards by name: rule, ranking, ndcg, prefix, semantic, collaborative, popularity, diversity; the last
   * two are penalties, 0 to -1, which a weight above 0 applies.
   * @default collaborative 1
   */
  rewards: Schema.Record(Schema.String, Schema.Finite).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({ collaborative: 1 }))
  ),
  /** Standardises each reward over its group or over the batch before it is weighted. @default none */
  normaliseRewards: Schema.Literals(["none", "group", "batch"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("none"))
  ),
  /** Formula of the advantages. @default group for losses with ratios, raw for the others */
  advantage: Schema.optionalKey(Advantage.Mode),
  /** @default distillation */
  objective: ObjectiveConfig.ObjectiveConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** Weight of the divergence from the reference, at most 1e6. @default 0 */
  beta: NonNegative.check(Schema.isLessThanOrEqualTo(1e6)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** @default frozen */
  reference: ReferenceConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** Passes over the prompts of a step; from the second on ratios are clipped. @default 1 */
  innerSteps: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Parts of a pass, each of which is an optimizer step. @default 1 */
  minibatches: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Steps between validations. @default 20 */
  stepsPerValidation: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(20))),
  /** Users drawn for validation. @default 1000 */
  validationUsers: Count.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1000))),
  /** Beams in validation, at most 4,096. @default 20 */
  validationBeams: Count.check(Schema.isLessThanOrEqualTo(BeamSearch.most)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(20))
  ),
  /**
   * Weights of the trained parameters, between 0 and 1, in means with those of the start that are tried after training; the
   * best one by NDCG@10 in validation whose lists are as broad as before is kept. None: the trained parameters are kept.
   * @default 0.5, 0.75
   */
  mixtures: Schema.Array(Schema.Finite.check(Schema.isGreaterThan(0), Schema.isLessThan(1))).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed([0.5, 0.75]))
  ),
  /** @default peak 7e-4, warm-up 5 steps, floor 0.05 */
  learningRate: defaulting(LearningRate.LearningRateConfig, { peak: 7e-4, warmupSteps: 5, floor: 0.05 }).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({}))
  ),
  /** Settings of AdamW. @default no weight decay, averaging 0.9 */
  optimizer: defaulting(AdamW.AdamWConfig, { weightDecay: 0, averaging: 0.9 }).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({}))
  )
}) {}

/** Rewards that compare candidates with the answer of a prompt. */
const comparing = new Set(["rule", "ranking", "ndcg", "prefix", "semantic"])

/** A setting that makes no sense beside others; the field is a path below `grpo`. */
export interface Conflict {
  readonly field: string
  readonly issue: string
}

/** Returns the settings that contradict each other. */
export const conflicts = (
  { advantage, normaliseRewards, objective, prompts, rewards, rollout }: GrpoConfig
): ReadonlyArray<Conflict> => {
  const { answer, decoder, hintShare } = rollout
  const found: Array<Conflict> = []
  const add = (field: string, issue: string) => found.push({ field, issue })
  if (decoder.kind === "sampling" && decoder.replacement && !ObjectiveConfig.isRelative(objective)) {
    add("rollout.decoder.replacement", `Expected false: ${objective.kind} needs distinct candidates`)
  }
  const areBelowZero = (rewards["collaborative"] ?? 0) > 0 && normaliseRewards === "none"
  if (objective.kind === "top-leaves" && (advantage ?? "raw") === "raw" && areBelowZero) {
    add(
      "advantage",
      "Expected another than raw: top-leaves takes every other item to earn 0, more than the collaborative reward, " +
        "a logarithm, ever gives; set it to centred, or name rewards without collaborative"
    )
  }
  if (prompts.positions === "unlabelled") {
    const because = "prompts that are unlabelled have no answer; prompts.positions training has"
    if (answer !== "as-drawn") add("rollout.answer", `Expected as-drawn: ${because}`)
    if (hintShare > 0) add("rollout.hintShare", `Expected 0: ${because}`)
    if (objective.anchor > 0) add("objective.anchor", `Expected 0: ${because}`)
  }
  return found
}

/**
 * Returns the settings of the prompts, with `automatic` positions and the share without an answer decided; `rewards`
 * tells whether others are used.
 */
export const promptsOf = (
  { objective, prompts, rewards: named, rollout }: GrpoConfig,
  rewards: "named" | "others" = "named"
): PromptsConfig => {
  const isAnswerRead = rewards === "others" || rollout.answer !== "as-drawn" || rollout.hintShare > 0 ||
    objective.anchor > 0 || Object.entries(named).some(([name, weight]) => weight !== 0 && comparing.has(name))
  const { positions, unlabelledShare } = prompts
  return new PromptsConfig({
    ...prompts,
    positions: positions !== "automatic" ? positions : isAnswerRead ? "training" : "unlabelled",
    unlabelledShare: isAnswerRead ? 0 : unlabelledShare
  })
}

/** Returns whether no reward applies to any prompt, so that nothing can be learned. */
export const isUnanswerable = ({ prompts, rewards }: GrpoConfig): boolean =>
  prompts.positions === "unlabelled" &&
  Object.entries(rewards).every(([name, weight]) => weight === 0 || comparing.has(name))

/** Returns how rewards become advantages. */
export const advantageOf = ({ advantage, objective, rewards }: GrpoConfig): Advantage.AdvantageOptions => ({
  mode: advantage ?? (ObjectiveConfig.isRelative(objective) ? "group" : "raw"),
  weights: rewards
})

/** Marks the checkpoints of this phase. */
export const kind = "grpo"
