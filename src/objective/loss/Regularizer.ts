/**
 * Terms that hold a policy in place, to be added to objectives that have none: both are means over the steps of the
 * candidates, exactly over the legal children unless an estimate is asked for.
 */
import * as Divergence from "../Divergence.ts"
import * as Objective from "../Objective.ts"

/** Makes the objective that rewards entropy: less its mean over steps, in nats. */
export const entropy = (): Objective.GroupObjective => ({
  name: "entropy-bonus",
  needs: { behaviour: false, reference: false },
  scalars: {},
  loss: (groups) => {
    const entropy = Objective.overSteps(Divergence.entropyOfSteps(groups), groups)
    return { loss: entropy.neg(), terms: { entropy } }
  }
})

/** Makes the objective that keeps the policy close to the reference; its terms are `kl` and `entropy`. */
export const divergence = (estimate: Divergence.Estimate = "exact"): Objective.GroupObjective => ({
  name: `divergence-${estimate}`,
  needs: { behaviour: false, reference: true },
  scalars: {},
  loss: (groups) => {
    const kl = Objective.overSteps(Divergence.ofSteps(estimate, groups), groups)
    return { loss: kl, terms: { kl, entropy: Objective.overSteps(Divergence.entropyOfSteps(groups), groups) } }
  }
})
