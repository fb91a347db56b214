/**
 * GSPO (Zheng et al. 2025): one ratio per candidate, the geometric mean over its steps, clipped as a whole.
 *
 * The paper's range is narrow (3e-4 below, 4e-4 above). MiniOneRec's `gspo` clips nothing (epsilons Infinity); TRL's is
 * `importance_sampling_level="sequence"`.
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
