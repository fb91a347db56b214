/**
 * Policy-gradient losses with importance ratios: the common part of GRPO and its relatives.
 *
 * A step with log-probability l, ratio w = exp(l - behaviour) and advantage A has a gain, whose gradient is that of w A
 * inside the clipping range; the loss is a mean of `beta x divergence - gain`. The losses differ in the ratio (of a
 * step or of the whole candidate), in the clipping and in the mean.
 */
import * as tf from "@tensorflow/tfjs"
import * as Divergence from "./Divergence.ts"
import * as Objective from "./Objective.ts"

/** Average over steps that makes one number of a loss. */
export type Mean =
  /** Mean over candidates of the mean over each one's steps. */
  | "candidates"
  /** Mean over the steps of the whole batch. */
  | "steps"
  /** Mean over groups of the mean over the steps of each group. */
  | "groups"
  /** Sum over steps, divided by the number of candidates and the scalar `divisor`. */
  | "constant"

/** Divergence from the reference in a loss. */
export interface DivergenceOptions {
  /** Weight of the divergence; with 0 the reference is not needed. */
  readonly beta: number
  /** Estimate of the divergence. @default "k3" */
  readonly divergence?: Divergence.Estimate | undefined
  /**
   * Whether the divergence is multiplied by the importance ratio, with gradients through both, which makes its gradient
   * unbiased on candidates of an older policy (DeepSeek-V3.2 2025; `use_bias_correction_kl` in TRL).
   *
   * @default false
   */
  readonly weighDivergence?: boolean | undefined
}

/** Clipping range of the ratio, 1 - epsilonLow to 1 + epsilonHigh; Infinity disables the clipping on its side. */
export interface ClipOptions {
  readonly epsilonLow: number
  readonly epsilonHigh: number
}

/** Gain of each step, or of each candidate. */
export interface Gain {
  /** Value to be maximised, [C, L] or [C, 1]. */
  readonly gain: tf.Tensor
  /** Whether each step [C, L] or candidate [C, 1] is clipped, boolean. */
  readonly clipped: tf.Tensor
}

/** Differences between the losses. */
export interface SurrogateOptions extends DivergenceOptions {
  readonly name: string
  /** Ratio of each step, or the geometric mean of the ratios of each candidate's steps. */
  readonly ratio: "step" | "sequence"
  readonly mean: Mean
  readonly scalars: Readonly<Record<string, number>>
  /** Returns the gain for ratios [C, L] or [C, 1], advantages [C, 1] and log-probabilities [C, L]. */
  readonly gain: (
    ratio: tf.Tensor,
    advantages: tf.Tensor,
    logProbs: tf.Tensor,
    scalars: Readonly<Record<string, tf.Tensor>>
  ) => Gain
}

const reduce = (
  mean: Mean,
  values: tf.Tensor,
  groups: Objective.GroupTensors,
  divisor: tf.Tensor | undefined
): tf.Tensor => {
  const { mask, total } = groups
  switch (mean) {
    case "candidates":
      return Objective.overCandidates(values, groups)
    case "steps":
      return Objective.overSteps(values, groups)
    case "groups": {
      const sums = Objective.byGroup(values.mul(mask).sum(1), groups).sum(1)
      return Objective.overGroups(sums.div(Objective.byGroup(mask.sum(1), groups).sum(1)), groups)
    }
    case "constant":
      return values.mul(mask).sum().div(total.candidates.mul(divisor!))
  }
}

/** Returns the clipped gain of PPO (Schulman et al. 2017): min(w A, clip(w, 1 - epsilonLow, 1 + epsilonHigh) A). */
export const clip: SurrogateOptions["gain"] = (ratio, advantages, _, { epsilonHigh, epsilonLow }) => {
  const [least, most] = [tf.scalar(1).sub(epsilonLow!), tf.scalar(1).add(epsilonHigh!)]
  const bounded = tf.minimum(tf.maximum(ratio, least), most)
  return {
    gain: tf.minimum(ratio.mul(advantages), bounded.mul(advantages)),
    clipped: ratio.less(least).logicalAnd(advantages.less(0))
      .logicalOr(ratio.greater(most).logicalAnd(advantages.greater(0)))
  }
}

/**
 * Makes an objective. Its terms: `kl`, mean over steps of the chosen estimate in nats, after `weighDivergence` and
 * before `beta`, if `beta` is not 0; `clipped`, the share of steps (of candidates for ratio "sequence") that are
 * clipped; and `entropy`, mean over steps of the entropy over the children, in nats.
 */
export const make = (options: SurrogateOptions): Objective.GroupObjective => {
  const { beta, divergence = "k3", gain, mean, name, ratio: level, weighDivergence = false } = options
  return {
    name,
    needs: { behaviour: true, reference: beta !== 0 },
    scalars: { ...options.scalars, ...(beta === 0 ? {} : { beta }) },
    loss: (groups, scalars) => {
      const { advantages, behaviour, logProbs, mask, total } = groups
      const logRatio = logProbs.sub(behaviour)
      const ratio = level === "step"
        ? logRatio.exp()
        : logRatio.mul(mask).sum(1, true).div(mask.sum(1, true)).exp()
      const earned = gain(ratio, advantages.expandDims(1), logProbs, scalars)
      const share = earned.clipped.cast("float32")
      const terms = {
        clipped: level === "step" ? Objective.overSteps(share, groups) : share.sum().div(total.candidates),
        entropy: Objective.overSteps(Divergence.entropyOfSteps(groups), groups)
      }
      if (beta === 0) return { loss: reduce(mean, earned.gain.neg(), groups, scalars["divisor"]), terms }
      const kl = Divergence.ofSteps(divergence, groups).mul(weighDivergence ? ratio : tf.scalar(1))
      return {
        loss: reduce(mean, kl.mul(scalars["beta"]!).sub(earned.gain), groups, scalars["divisor"]),
        terms: { ...terms, kl: Objective.overSteps(kl, groups) }
      }
    }
  }
}
