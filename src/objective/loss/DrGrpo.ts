/**
 * Dr. GRPO (Liu et al. 2025): GRPO without its length bias; the sum over a candidate's steps is divided by a constant
 * instead of the candidate's length. Its advantages are centred and not scaled (`Advantage`, mode "centred").
 *
 * TRL's `dr_grpo` divides by its `max_completion_length`.
 */
import type * as Objective from "../Objective.ts"
import * as Surrogate from "../Surrogate.ts"

/**
 * Makes the objective; the sum over a candidate's steps is divided by `divisor`, by default 1. Both epsilons are 0.2 by
 * default.
 */
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
