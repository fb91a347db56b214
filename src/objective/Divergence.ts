/**
 * Estimators of the KL divergence from a reference, per step (Schulman 2020, "Approximating KL divergence").
 */
import * as tf from "@tensorflow/tfjs"

/**
 * Returns the k3 estimator `exp(r - l) - (r - l) - 1` of each step, from log-probabilities l under the policy and r
 * under the reference, of any one shape. It is never negative, and unbiased for steps drawn from the policy.
 */
export const k3 = (logProbs: tf.Tensor, reference: tf.Tensor): tf.Tensor => {
  const gap = reference.sub(logProbs)
  return gap.exp().sub(gap).sub(tf.scalar(1))
}
