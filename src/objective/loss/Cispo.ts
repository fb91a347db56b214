/**
 * CISPO (MiniMax-M1 2025): the clipped ratio is a constant weight of A log p, so that clipped steps keep a gradient.
 *
 * As in TRL, only an upper bound of the ratio is set, as the ratio itself (`cap`) and not as a distance from 1, and the
 * mean is over the steps of the whole batch; the paper's is over the steps of each group. `cap` 5 is the value of
 * ScaleRL (Khatri et al. 2025).
 */
import * as tf from "@tensorflow/tfjs"
import * as StopGradient from "../../tensor/StopGradient.ts"
import type * as Objective from "../Objective.ts"
import * as Surrogate from "../Surrogate.ts"

/**
 * Makes the objective: `beta` is by default 0, ratios are at most `cap`, by default 5, and `mean` is over the "steps"
 * of the batch (the default) or of each of the "groups".
 */
export const make = (
  { beta = 0, cap = 5, mean = "steps", ...rest }: Partial<Surrogate.DivergenceOptions> & {
    readonly cap?: number | undefined
    readonly mean?: "steps" | "groups" | undefined
  } = {}
): Objective.GroupObjective =>
  Surrogate.make({
    ...rest,
    beta,
    name: "cispo",
    ratio: "step",
    mean,
    scalars: { cap },
    gain: (ratio, advantages, logProbs, { cap }) => ({
      gain: StopGradient.apply(tf.minimum(ratio, cap!)).mul(advantages).mul(logProbs),
      clipped: ratio.greater(cap!).logicalAnd(advantages.greater(0))
    })
  })
