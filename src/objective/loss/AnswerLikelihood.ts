/**
 * Negative log-likelihood of the answer in groups that contain it: an anchor to the supervised task, to be added to
 * another objective. A group without its answer contributes 0.
 */
import * as Divergence from "../Divergence.ts"
import * as Objective from "../Objective.ts"

/** Makes the objective; its terms are `answered`, the share of groups with their answer, and `entropy` in nats. */
export const make = (): Objective.GroupObjective => ({
  name: "answer",
  needs: { behaviour: false, reference: false },
  scalars: {},
  loss: (groups) => ({
    loss: Objective.overGroups(Objective.leafLogProbs(groups).mul(groups.answer), groups).neg(),
    terms: {
      answered: Objective.overGroups(groups.answer, groups),
      entropy: Objective.overSteps(Divergence.entropyOfSteps(groups), groups)
    }
  })
})
