/**
 * Losses over the logits of a network.
 */
import * as tf from "@tensorflow/tfjs"
import * as LinearCrossEntropy from "../../../tensor/LinearCrossEntropy.ts"
import { type Readout } from "./SasRecNetwork.ts"

/** Returns the logit of one class for each state, [M]. */
const logitsOf = ({ classes, states }: Readout, chosen: tf.Tensor): tf.Tensor =>
  states.mul(tf.gather(classes, chosen)).sum(-1)

/** Computes the mean cross entropy of the targets [M] over all N items, with label smoothing. */
export const crossEntropy = ({ classes, states }: Readout, targets: tf.Tensor, smoothing: number): tf.Tensor => {
  const ones = tf.onesLike(targets.cast("float32"))
  return LinearCrossEntropy.loss(states, classes, { targets, weights: ones.div(ones.sum()), smoothing })
}

/**
 * Computes MiniOneRec's binary cross entropy: the mean of `-log sigmoid` of the targets' logits and of
 * `-log (1 - sigmoid)` of the negatives', both [M].
 */
export const binary = (readout: Readout, targets: tf.Tensor, negatives: tf.Tensor): tf.Tensor =>
  logitsOf(readout, targets).neg().softplus().add(logitsOf(readout, negatives).softplus()).mean().mul(tf.scalar(0.5))
