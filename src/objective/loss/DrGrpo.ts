/**
 * Dr. GRPO (Liu et al. 2025): GRPO without the bias towards short wrong candidates: steps are summed and divided by a
 * constant instead of each candidate's length. Its advantages are centred and not scaled (`Advantage`, mode "centred").
 *
 * TRL's `dr_grpo` divides by its `max_completion_length`.
 */
import type * as Objective from "../Objective.ts"
import * as Surrogate from "../Surrogate.ts"

/** Makes the objective; the sum over a candidate's steps is divided by `divisor`, by default 1. */
export const make = (
  { divisor = 1, epsilonHigh = 0.2, epsilonLow = 0.2, ...rest }:
    & Surrogate.DivergenceOptions
    & Partial<Surrogate.ClipOptions>
    & { readonly divisor?: number | undefined }
): Objective.GroupObjective =>
  Surrogate.make({
    ...rest,
    name: "dr-grpo",
    ratio: "step",
    mean: "constant",
    scalars: { epsilonLow, epsilonHigh, divisor },
    gain: Surrogate.clip
  })
