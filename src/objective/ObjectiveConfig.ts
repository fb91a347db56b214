/**
 * Settings of an objective: its loss, the numbers of the loss, and terms added to it.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as AnswerLikelihood from "./loss/AnswerLikelihood.ts"
import * as ApproxNdcg from "./loss/ApproxNdcg.ts"
import * as Bnpo from "./loss/Bnpo.ts"
import * as Cispo from "./loss/Cispo.ts"
import * as Dapo from "./loss/Dapo.ts"
import * as Distillation from "./loss/Distillation.ts"
import * as DrGrpo from "./loss/DrGrpo.ts"
import * as GroupRelative from "./loss/GroupRelative.ts"
import * as Gspo from "./loss/Gspo.ts"
import * as LambdaLoss from "./loss/LambdaLoss.ts"
import * as Regularizer from "./loss/Regularizer.ts"
import * as TopLeaves from "./loss/TopLeaves.ts"
import * as Objective from "./Objective.ts"

const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
const most = 1e6

/** Losses that read the importance ratio, the policy's probability over that of the policy that drew the candidates. */
const surrogates = ["grpo", "dr-grpo", "dapo", "bnpo", "gspo", "cispo"] as const

/** Names of all losses. */
export const kinds = ["distillation", ...surrogates, "top-leaves", "lambda-loss", "approx-ndcg"] as const

/** Settings of an objective; fields that its loss does not have are ignored. */
export class ObjectiveConfig extends Schema.Class<ObjectiveConfig>("sidereal/objective/ObjectiveConfig")({
  /** Name of the loss; a module of `loss` each. @default distillation */
  kind: Schema.Literals(kinds).pipe(Schema.withDecodingDefaultKey(Effect.succeed("distillation" as const))),
  /** Estimate of the divergence from the reference. @default k3 */
  divergence: Schema.Literals(["k1", "k2", "k3", "exact"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("k3" as const))
  ),
  /**
   * Distance from 1 below which ratios are clipped, at least 0; not read by CISPO.
   * @default 0.2; 3e-4 for gspo
   */
  epsilonLow: Schema.optionalKey(NonNegative),
  /**
   * Distance from 1 above which ratios are clipped, at least 0; not read by CISPO.
   * @default 0.2; 0.28 for dapo, 4e-4 for gspo
   */
  epsilonHigh: Schema.optionalKey(NonNegative),
  /**
   * Distillation: reward difference that multiplies the odds of the teacher by e. ApproxNDCG: temperature of its smooth
   * ranks, in nats. Above 0.
   * @default 1
   */
  temperature: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Distillation: divisor of the teacher's log-probabilities, above 0; above 1 the teacher is less certain. @default 1 */
  softening: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** Distillation: treatment of the leaves that are no candidates: none, least, held. @default least */
  rest: Distillation.Rest.pipe(Schema.withDecodingDefaultKey(Effect.succeed("least" as const))),
  /** Share of the reverse divergence in a distillation, 0 to 1. @default 0 */
  reverse: NonNegative.check(Schema.isLessThanOrEqualTo(1)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** Weight of the negative log-likelihood of the answer in groups that contain it, 0 to 1e6. @default 0 */
  anchor: NonNegative.check(Schema.isLessThanOrEqualTo(most)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /**
   * Weight of the entropy bonus: mean entropy over the children of the nodes that candidates pass, 0 to 1e6.
   * @default 0
   */
  entropy: NonNegative.check(Schema.isLessThanOrEqualTo(most)).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0)))
}) {}

const lossOf = (
  { divergence, epsilonHigh, epsilonLow, kind, rest, reverse, softening, temperature }: ObjectiveConfig,
  beta: number
) => {
  const ratios = {
    beta,
    divergence,
    ...(epsilonLow === undefined ? {} : { epsilonLow }),
    ...(epsilonHigh === undefined ? {} : { epsilonHigh })
  }
  switch (kind) {
    case "distillation":
      return Distillation.make({ temperature, softening, rest, reverse })
    case "grpo":
      return GroupRelative.make(ratios)
    case "dr-grpo":
      return DrGrpo.make(ratios)
    case "dapo":
      return Dapo.make(ratios)
    case "bnpo":
      return Bnpo.make(ratios)
    case "gspo":
      return Gspo.make(ratios)
    case "cispo":
      return Cispo.make(ratios)
    case "top-leaves":
      return TopLeaves.make()
    case "lambda-loss":
      return LambdaLoss.make()
    case "approx-ndcg":
      return ApproxNdcg.make({ temperature })
  }
}

/** Returns whether a loss reads advantages relative to the group; the others read raw rewards. */
export const isRelative = ({ kind }: ObjectiveConfig): boolean => surrogates.some((one) => one === kind)

/** Makes the configured objective; `beta`, at least 0, is the weight of the divergence from the reference. */
export const make = (config: ObjectiveConfig, beta: number): Objective.GroupObjective => {
  const parts: ReadonlyArray<Objective.WeightedObjective> = [
    { objective: lossOf(config, beta), weight: 1 },
    // Losses with ratios contain the divergence themselves.
    ...(beta > 0 && !isRelative(config)
      ? [{ objective: Regularizer.divergence(config.divergence), weight: beta }]
      : []),
    ...(config.anchor > 0 ? [{ objective: AnswerLikelihood.make(), weight: config.anchor }] : []),
    ...(config.entropy > 0 ? [{ objective: Regularizer.entropy(), weight: config.entropy }] : [])
  ]
  return parts.length === 1 ? parts[0]!.objective : Objective.sum(parts)
}
