/**
 * Estimates of the divergence from a reference, step by step (Schulman 2020, "Approximating KL divergence").
 */
import * as tf from "@tensorflow/tfjs"

/** `exp(r - l) - (r - l) - 1`: never negative, without bias where steps are drawn from the policy. */
export const k3 = (logProbs: tf.Tensor, reference: tf.Tensor): tf.Tensor => {
  const gap = reference.sub(logProbs)
  return gap.exp().sub(gap).sub(tf.scalar(1))
}
