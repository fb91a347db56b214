/**
 * GSPO (Zheng et al. 2025): one clipped ratio per candidate, the geometric mean of the ratios of its steps.
 *
 * The clipping range is the paper's, 3e-4 below 1 and 4e-4 above. MiniOneRec's `gspo` does not clip (epsilons
 * Infinity); TRL's is `importance_sampling_level="sequence"`.
 */
import type * as Objective from "../Objective.ts"
import * as Surrogate from "../Surrogate.ts"

/** Makes the objective with weight `beta` on the divergence from the reference. */
export const make = (
  { epsilonHigh = 4e-4, epsilonLow = 3e-4, ...rest }:
    & Surrogate.DivergenceOptions
    & Partial<Surrogate.ClipOptions>
): Objective.GroupObjective =>
  Surrogate.make({
    ...rest,
    name: "gspo",
    ratio: "sequence",
    mean: "candidates",
    scalars: { epsilonLow, epsilonHigh },
    gain: Surrogate.clip
  })
