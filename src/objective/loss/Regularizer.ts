/**
 * Regularizers, to be added to objectives without one: an entropy bonus and a divergence from the reference. Both are
 * means over the steps of the candidates, in nats; the sums over the legal children are exact unless another estimate
 * is chosen.
 */
import * as Divergence from "../Divergence.ts"
import * as Objective from "../Objective.ts"

/** Makes the entropy bonus: the negative mean entropy over steps, in nats. Its term is `entropy`. */
export const entropy = (): Objective.GroupObjective => ({
  name: "entropy-bonus",
  needs: { behaviour: false, reference: false },
  scalars: {},
  loss: (groups) => {
    const entropy = Objective.overSteps(Divergence.entropyOfSteps(groups), groups)
    return { loss: entropy.neg(), terms: { entropy } }
  }
})

/** Makes the divergence from the reference, by default exact; its terms are `kl` and `entropy`, in nats. */
export const divergence = (estimate: Divergence.Estimate = "exact"): Objective.GroupObjective => ({
  name: `divergence-${estimate}`,
  needs: { behaviour: false, reference: true },
  scalars: {},
  loss: (groups) => {
    const kl = Objective.overSteps(Divergence.ofSteps(estimate, groups), groups)
    return { loss: kl, terms: { kl, entropy: Objective.overSteps(Divergence.entropyOfSteps(groups), groups) } }
  }
})
