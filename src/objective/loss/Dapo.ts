/**
 * DAPO (Yu et al. 2025): GRPO with a clipping range that is wider above 1 than below ("clip higher"), steps of equal
 * weight, and by default no divergence from the reference.
 *
 * The paper averages over the steps of each group, TRL's and MiniOneRec's `dapo` over the steps of the whole batch;
 * MiniOneRec does not clip (epsilons Infinity). The paper's filter of groups without variance is
 * `Advantage.carriesSignal`.
 */
import type * as Objective from "../Objective.ts"
import * as Surrogate from "../Surrogate.ts"

/**
 * Makes the objective: `beta` is by default 0, `epsilonLow` 0.2, `epsilonHigh` 0.28, and `mean` is over the "steps" of
 * the whole batch (TRL, the default) or of each of the "groups" (the paper).
 */
export const make = (
  { beta = 0, epsilonHigh = 0.28, epsilonLow = 0.2, mean = "steps", ...rest }:
    & Partial<Surrogate.DivergenceOptions>
    & Partial<Surrogate.ClipOptions>
    & { readonly mean?: "steps" | "groups" | undefined } = {}
): Objective.GroupObjective =>
  Surrogate.make({
    ...rest,
    beta,
    name: "dapo",
    ratio: "step",
    mean,
    scalars: { epsilonLow, epsilonHigh },
    gain: Surrogate.clip
  })
