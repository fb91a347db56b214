/**
 * DAPO (Yu et al. 2025): GRPO with a wider range above than below ("clip higher"), every step of equal weight, and no
 * divergence from the reference unless one is asked for.
 *
 * The paper averages over the steps of each group, TRL's and MiniOneRec's `dapo` over the steps of the whole batch;
 * MiniOneRec clips nothing (epsilons Infinity). The paper's filter of groups without variance is `Advantage.carriesSignal`.
 */
import type * as Objective from "../Objective.ts"
import * as Surrogate from "../Surrogate.ts"

/** Makes the objective; `mean` is "steps" of the whole batch (TRL, the default) or of "groups" (the paper). */
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
