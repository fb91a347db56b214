/**
 * Losses over the logits of a network.
 */
import * as tf from "@tensorflow/tfjs"
import * as LinearCrossEntropy from "../../../tensor/LinearCrossEntropy.ts"
import { type Readout } from "./SasRecNetwork.ts"

/** Targets [M] and weights [M] of states; a state with weight 0 does not count. */
export interface Targets {
  readonly targets: tf.Tensor
  readonly weights: tf.Tensor
}

/** The logits of one class for each state, [M, 1]. */
const logitsOf = ({ classes, states }: Readout, chosen: tf.Tensor): tf.Tensor =>
  states.mul(tf.gather(classes, chosen)).sum(-1, true)

/**
 * Computes the weighted sum of full cross entropies with smoothed targets (Szegedy et al. 2016):
 * `(1 - smoothing) -log p(target) + smoothing mean_j -log p(j)`, p the softmax over all N items.
 */
export const crossEntropy = (readout: Readout, { targets, weights }: Targets, smoothing: number): tf.Tensor => {
  const { classes, states } = readout
  const sharp = LinearCrossEntropy.loss(states, classes, { targets, weights })
  if (smoothing === 0) return sharp
  // What smoothing adds is linear in the logits, whose mean is the product with the mean class.
  const mean = tf.matMul(states, classes.mean(0, true) as tf.Tensor2D, false, true)
  const above = logitsOf(readout, targets).sub(mean).mul(weights.reshape([weights.shape[0]!, 1])).sum()
  return sharp.add(above.mul(tf.scalar(smoothing)))
}

/**
 * Computes MiniOneRec's binary cross entropy: the mean, over both, of `-log sigmoid(target)` and
 * `-log (1 - sigmoid(negative))`, weighted and summed over states.
 */
export const binary = (readout: Readout, { targets, weights }: Targets, negatives: tf.Tensor): tf.Tensor =>
  logitsOf(readout, targets).neg().softplus().add(logitsOf(readout, negatives).softplus())
    .mul(weights.reshape([weights.shape[0]!, 1])).sum().mul(tf.scalar(0.5))
