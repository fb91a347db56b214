/**
 * Losses over groups of candidates: pure tensor functions, as a model is.
 *
 * C candidates of all groups, L steps of the longest one (its codes, and its end where another SID goes on), R inner
 * nodes of all trees, K children of the widest one.
 */
import type * as tf from "@tensorflow/tfjs"

/** What a loss sees; entries that `mask` or `legal` leave out are 0. */
export interface GroupTensors {
  /** Log-probability of each step [C, L]; gradients flow through it and through `nodes.logProbs`. */
  readonly logProbs: tf.Tensor
  /** The same when the candidates were drawn [C, L]. */
  readonly behaviour: tf.Tensor
  /** The same under the reference [C, L]. */
  readonly reference: tf.Tensor
  /** 1 for the steps of a candidate, 0 after them [C, L]. */
  readonly mask: tf.Tensor
  /** [C]. */
  readonly advantages: tf.Tensor
  /** Number of each candidate's group, from 0 [C], int32. */
  readonly group: tf.Tensor
  readonly nodes: {
    /** Log-probability of each child [R, K]. */
    readonly logProbs: tf.Tensor
    /** [R, K]. */
    readonly reference: tf.Tensor
    /** 1 for the children of a node, 0 after them [R, K]. */
    readonly legal: tf.Tensor
    /** Candidates that pass the node [R]. */
    readonly visits: tf.Tensor
  }
}

/** A loss with the numbers that it is fed with. */
export interface GroupObjective {
  readonly name: string
  /** Fed with every step: changing one compiles nothing. */
  readonly scalars: Readonly<Record<string, number>>
  readonly loss: (
    groups: GroupTensors,
    scalars: Readonly<Record<string, tf.Tensor>>
  ) => { readonly loss: tf.Tensor; readonly terms: Readonly<Record<string, tf.Tensor>> }
}

/** Mean over candidates of the mean over each one's steps. */
export const meanOfSteps = (values: tf.Tensor, mask: tf.Tensor): tf.Tensor =>
  values.mul(mask).sum(1).div(mask.sum(1)).mean()
