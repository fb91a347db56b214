/**
 * Objectives: losses over groups of candidates, as pure tensor functions.
 *
 * Shapes: C candidates of all groups, L steps of the longest candidate (its codes, then its end where its SID is a
 * prefix of another SID), R inner nodes of all candidate trees, K children of the widest node.
 */
import type * as tf from "@tensorflow/tfjs"

/** Input of a loss; entries where `mask` or `legal` is 0 are 0. Log-probabilities are natural. */
export interface GroupTensors {
  /** Log-probability of each step, [C, L]; gradients flow through it and through `nodes.logProbs`. */
  readonly logProbs: tf.Tensor
  /** Log-probability of each step under the policy that drew the candidates, [C, L]. */
  readonly behaviour: tf.Tensor
  /** Log-probability of each step under the reference, [C, L]. */
  readonly reference: tf.Tensor
  /** 1 for the steps of a candidate, 0 for padding, [C, L]. */
  readonly mask: tf.Tensor
  /** Advantage of each candidate, [C]. */
  readonly advantages: tf.Tensor
  /** Index of each candidate's group, from 0, int32 [C]. */
  readonly group: tf.Tensor
  readonly nodes: {
    /** Log-probability of each child of each inner node, [R, K]. */
    readonly logProbs: tf.Tensor
    /** Log-probability of each child under the reference, [R, K]. */
    readonly reference: tf.Tensor
    /** 1 for the children of a node, 0 for padding, [R, K]. */
    readonly legal: tf.Tensor
    /** Number of candidates whose paths pass through the node, [R]. */
    readonly visits: tf.Tensor
  }
}

/** A loss with its scalar inputs. */
export interface GroupObjective {
  readonly name: string
  /** Scalar inputs by name, fed with every step: a changed value needs no new compilation. */
  readonly scalars: Readonly<Record<string, number>>
  readonly loss: (
    groups: GroupTensors,
    scalars: Readonly<Record<string, tf.Tensor>>
  ) => { readonly loss: tf.Tensor; readonly terms: Readonly<Record<string, tf.Tensor>> }
}

/** Returns the mean over candidates of the mean over each candidate's steps, from values and mask [C, L]. */
export const meanOfSteps = (values: tf.Tensor, mask: tf.Tensor): tf.Tensor =>
  values.mul(mask).sum(1).div(mask.sum(1)).mean()
