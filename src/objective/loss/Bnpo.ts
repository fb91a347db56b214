/**
 * TRL's `bnpo`: the loss of GRPO, averaged over all steps of the candidates in the batch of an optimizer step.
 *
 * Differs from TRL: there the average is over the part of the batch that one device computes at once, so the loss
 * depends on the size of the part; here it does not.
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
    name: "bnpo",
    ratio: "step",
    mean: "steps",
    scalars: { epsilonLow, epsilonHigh },
    gain: Surrogate.clip
  })
