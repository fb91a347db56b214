/**
 * Every objective, in the settings that change its formula.
 */
import * as AnswerLikelihood from "../../src/objective/loss/AnswerLikelihood.ts"
import * as ApproxNdcg from "../../src/objective/loss/ApproxNdcg.ts"
import * as Bnpo from "../../src/objective/loss/Bnpo.ts"
import * as Cispo from "../../src/objective/loss/Cispo.ts"
import * as Dapo from "../../src/objective/loss/Dapo.ts"
import * as Distillation from "../../src/objective/loss/Distillation.ts"
import * as DrGrpo from "../../src/objective/loss/DrGrpo.ts"
import * as GroupRelative from "../../src/objective/loss/GroupRelative.ts"
import * as Gspo from "../../src/objective/loss/Gspo.ts"
import * as LambdaLoss from "../../src/objective/loss/LambdaLoss.ts"
import * as Regularizer from "../../src/objective/loss/Regularizer.ts"
import * as TopLeaves from "../../src/objective/loss/TopLeaves.ts"
import * as Objective from "../../src/objective/Objective.ts"

/** Objectives whose gradient is that of their value. */
export const differentiable: Readonly<Record<string, Objective.GroupObjective>> = {
  "GRPO, k3": GroupRelative.make({ beta: 0.3 }),
  "GRPO, k1 by the ratio": GroupRelative.make({ beta: 0.3, divergence: "k1", weighDivergence: true }),
  "GRPO, k2": GroupRelative.make({ beta: 0.3, divergence: "k2" }),
  "GRPO, exact divergence": GroupRelative.make({ beta: 0.3, divergence: "exact" }),
  "GRPO, exact divergence by the ratio": GroupRelative.make({ beta: 0.3, divergence: "exact", weighDivergence: true }),
  "GRPO, no clipping, no reference": GroupRelative.make({ beta: 0, epsilonLow: Infinity, epsilonHigh: Infinity }),
  "Dr. GRPO": DrGrpo.make({ beta: 0.2, divisor: 4, divergence: "exact" }),
  "DAPO": Dapo.make(),
  "DAPO over groups": Dapo.make({ mean: "groups", beta: 0.1 }),
  "BNPO": Bnpo.make({ beta: 0.2, weighDivergence: true }),
  "GSPO": Gspo.make({ beta: 0.2, epsilonLow: 0.2, epsilonHigh: 0.28, weighDivergence: true }),
  "distillation": Distillation.make({ temperature: 0.7 }),
  "distillation, softened, the rest with the least reward": Distillation.make({
    temperature: 0.7,
    softening: 3,
    rest: "least"
  }),
  "distillation, reverse, the rest held": Distillation.make({ reverse: 1, rest: "held" }),
  "distillation, mixed, softened, the rest held": Distillation.make({ reverse: 0.3, softening: 2, rest: "held" }),
  "distillation, reverse": Distillation.make({ reverse: 1 }),
  "distillation, mixed, without the reference": Distillation.make({ reverse: 0.3, reference: false }),
  "top leaves": TopLeaves.make({ tailReward: 0.25, range: [-1, 2] }),
  "LambdaLoss": LambdaLoss.make({ mu: 2, sigma: 0.8 }),
  "LambdaRank": LambdaLoss.make({ mu: 0 }),
  "ApproxNDCG": ApproxNdcg.make({ temperature: 0.5 }),
  "answer": AnswerLikelihood.make(),
  "entropy": Regularizer.entropy(),
  "divergence": Regularizer.divergence(),
  "a sum": Objective.sum([
    { objective: Distillation.make({ reference: false, reverse: 0.5 }), weight: 1 },
    { objective: AnswerLikelihood.make(), weight: 0.2 },
    { objective: Dapo.make({ beta: 0.5, divergence: "k2" }), weight: 0.7 },
    { objective: Regularizer.entropy(), weight: 0.01 }
  ])
}

/** All of them. */
export const objectives: Readonly<Record<string, Objective.GroupObjective>> = {
  ...differentiable,
  "CISPO": Cispo.make({ beta: 0.1, cap: 1.2 }),
  "CISPO over groups": Cispo.make({ mean: "groups" })
}
