/**
 * TRL's `bnpo`: GRPO averaged over the steps of the batch of an optimizer step.
 *
 * Differs from TRL: there the batch is what one device computes at once, so the loss changes with the size of that part; a
 * policy here may compute a batch in any parts and the loss is the same.
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
    name: "bnpo",
    ratio: "step",
    mean: "steps",
    scalars: { epsilonLow, epsilonHigh },
    gain: Surrogate.clip
  })
