/**
 * GRPO (Shao et al. 2024): clipped ratios per step, averaged over the steps of each candidate and then over candidates.
 *
 * MiniOneRec's and TRL's `grpo`; MiniOneRec does not clip (epsilons Infinity) and takes one optimizer step per batch.
 */
import type * as Objective from "../Objective.ts"
import * as Surrogate from "../Surrogate.ts"

/** Makes the objective with weight `beta` on the divergence from the reference; both epsilons are 0.2 by default. */
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
