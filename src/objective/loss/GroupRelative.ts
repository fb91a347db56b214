/**
 * GRPO (Shao et al. 2024): clipped ratios of steps, and the mean over candidates of the mean over each one's steps.
 *
 * MiniOneRec's and TRL's `grpo`; MiniOneRec clips nothing (epsilons Infinity) and takes one step per batch.
 */
import type * as Objective from "../Objective.ts"
import * as Surrogate from "../Surrogate.ts"

/** Makes the objective with weight `beta` on the divergence from the reference. */
export const make = (
  { epsilonHigh = 0.2, epsilonLow = 0.2, ...rest }:
    & Surrogate.DivergenceOptions
    & Partial<Surrogate.ClipOptions>
): Objective.GroupObjective =>
  Surrogate.make({
    ...rest,
    name: "grpo",
    ratio: "step",
    mean: "candidates",
    scalars: { epsilonLow, epsilonHigh },
    gain: Surrogate.clip
  })
