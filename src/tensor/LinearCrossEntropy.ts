/**
 * Cross-entropy of a linear classifier without keeping its logits: `sum_m weights[m] * -log softmax(h E')[targets[m]]`.
 *
 * With a mask, the softmax of each row runs over its legal classes only. The gradient is hand-written: the softmax is
 * computed once, one entry per row is replaced, and the row weights are applied to the [M, D] side of the two products
 * instead of to [M, V].
 */
import * as tf from "@tensorflow/tfjs"
import { masked } from "./Attention.ts"
import * as FusedKernel from "./FusedKernel.ts"

/** Labels of M rows: targets and weights [M], and `legal`, a boolean [M, V] (default: all classes are legal). */
export interface Labels {
  readonly targets: tf.Tensor
  readonly weights: tf.Tensor
  readonly legal?: tf.Tensor | undefined
}

/** Returns logits [M, V] with those of illegal classes set to `Attention.masked`. */
export const legalLogits = (logits: tf.Tensor, legal: tf.Tensor | undefined): tf.Tensor =>
  legal === undefined ? logits : tf.where(legal, logits, tf.fill(logits.shape, masked))

/** Computes the scalar loss, in nats, for hidden rows `h` [M, D] and class rows `classes` [V, D]. */
export const loss = (h: tf.Tensor, classes: tf.Tensor, { legal, targets, weights }: Labels): tf.Tensor => {
  const rows = h.shape[0]!
  if (!FusedKernel.available("SiderealTakeAlong")) {
    const logits = legalLogits(tf.matMul(h, classes, false, true), legal)
    const index = tf.range(0, rows, 1, "int32").mul(tf.scalar(logits.shape[1]!, "int32")).add(targets)
    return tf.gather(tf.logSoftmax(logits).reshape([-1]), index.cast("int32")).mul(weights).sum().neg()
  }
  const column = targets.reshape([rows, 1])
  const rowWeights = weights.reshape([rows, 1])
  const fused = tf.customGrad((...args) => {
    const [h, classes, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc]
    const probabilities = tf.softmax(legalLogits(tf.matMul(h, classes, false, true), legal), -1)
    const chosen = FusedKernel.takeAlong(probabilities, column)
    save([h, classes, probabilities, chosen, column, rowWeights])
    return {
      value: chosen.maximum(tf.scalar(1e-37)).log().mul(rowWeights).sum().neg(),
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const [h, classes, probabilities, chosen, column, rowWeights] = saved as [
          tf.Tensor2D,
          tf.Tensor2D,
          tf.Tensor,
          tf.Tensor,
          tf.Tensor,
          tf.Tensor
        ]
        const dLogits = FusedKernel.putAlong(probabilities, column, chosen.sub(tf.scalar(1)))
        const scale = rowWeights.mul(dy)
        return [
          tf.matMul(dLogits, classes).mul(scale),
          tf.matMul(dLogits, h.mul(scale), true, false)
        ]
      }
    }
  })
  return fused(h, classes)
}
