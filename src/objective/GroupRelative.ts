/**
 * The GRPO loss (Shao et al. 2024), `mean_c mean_l -A_c exp(l - behaviour) + beta k3(l, reference)`.
 *
 * Differs from the paper: one optimizer step per batch, so the ratio is not clipped.
 */
import * as Divergence from "./Divergence.ts"
import * as Objective from "./Objective.ts"

/** Returns the objective with weight `beta` on the divergence from the reference; its term `kl` is the mean k3. */
export const make = ({ beta }: { readonly beta: number }): Objective.GroupObjective => ({
  name: "grpo",
  scalars: { beta },
  loss: ({ advantages, behaviour, logProbs, mask, reference }, { beta }) => {
    const ratio = logProbs.sub(behaviour).exp()
    const surrogate = Objective.meanOfSteps(ratio.mul(advantages.expandDims(1)), mask)
    const kl = Objective.meanOfSteps(Divergence.k3(logProbs, reference), mask)
    return { loss: kl.mul(beta!).sub(surrogate), terms: { kl } }
  }
})
