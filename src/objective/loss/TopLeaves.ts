/**
 * Expected reward over the M most probable leaves, with its exact gradient.
 *
 * The candidates of a group are its most probable leaves (beams), each once, and `advantages` are their raw rewards.
 * The expected reward over the whole catalogue is sum_i p_i r_i over the candidates plus the expected reward of the
 * tail, all other leaves. Each of these is assumed to have the reward `tailReward`, so the gradient is sum_i p_i (r_i -
 * tailReward) grad log p_i, without sampling. If the true rewards lie in `range`, the reported expectation is wrong by
 * at most `bound`: the tail's mass times the distance from `tailReward` to the farther end of `range`.
 */
import * as tf from "@tensorflow/tfjs"
import * as Divergence from "../Divergence.ts"
import * as Objective from "../Objective.ts"

/** Settings of the expectation. */
export interface TopLeavesOptions {
  /** Assumed reward of every leaf that is not a candidate. @default 0 */
  readonly tailReward?: number | undefined
  /** Lowest and highest reward of a leaf; read by the term `bound` alone. @default [0, 1] */
  readonly range?: readonly [least: number, most: number] | undefined
}

/**
 * Makes the objective, the negative expected reward. Its terms: `expected` reward; `tail`, the probability of the other
 * leaves; `bound` of the error of `expected`; and `entropy` over the children, in nats.
 */
export const make = (
  { range: [least, most] = [0, 1], tailReward = 0 }: TopLeavesOptions = {}
): Objective.GroupObjective => ({
  name: "top-leaves",
  needs: { behaviour: false, reference: false },
  scalars: { tailReward, least, most },
  loss: (groups, { least, most, tailReward }) => {
    const { members: { mask }, total } = groups
    const mass = Objective.byGroup(Objective.leafLogProbs(groups), groups).exp().mul(mask)
    const count = mask.max(1).sum().div(total.groups)
    const above = Objective.overGroups(mass.mul(Objective.byGroup(groups.advantages, groups).sub(tailReward!)), groups)
    const expected = above.add(count.mul(tailReward!))
    const tail = count.sub(Objective.overGroups(mass, groups))
    return {
      loss: expected.neg(),
      terms: {
        expected,
        tail,
        bound: tail.mul(tf.maximum(most!.sub(tailReward!), tailReward!.sub(least!))),
        entropy: Objective.overSteps(Divergence.entropyOfSteps(groups), groups)
      }
    }
  }
})
