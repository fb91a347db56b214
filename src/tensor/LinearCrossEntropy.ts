/**
 * Cross-entropy of a linear classifier without keeping its logits: `sum_m weights[m] * -log softmax(h E')[targets[m]]`.
 *
 * The softmax runs over the legal classes of each row only, when a mask says which they are. The gradient is written by
 * hand: the softmax is computed once, one entry per row is replaced, and the row weights are applied to the [M, D]
 * side of the two products instead of to [M, V]. Rows may come in batches that have classes of their own.
 */
import * as tf from "@tensorflow/tfjs"
import { masked } from "./Attention.ts"
import * as FusedKernel from "./FusedKernel.ts"

/** Targets and weights are [..., M]; `legal` is a boolean [..., M, V]. A row with weight 0 does not count. */
export interface Labels {
  readonly targets: tf.Tensor
  readonly weights: tf.Tensor
  readonly legal?: tf.Tensor | undefined
}

/** Returns logits [M, V] with those of illegal classes set to `Attention.masked`. */
export const legalLogits = (logits: tf.Tensor, legal: tf.Tensor | undefined): tf.Tensor =>
  legal === undefined ? logits : tf.where(legal, logits, tf.fill(logits.shape, masked))

/** Computes the scalar loss for hidden rows `h` [..., M, D] and class rows `classes` [..., V, D]. */
export const loss = (h: tf.Tensor, classes: tf.Tensor, { legal, targets, weights }: Labels): tf.Tensor => {
  const lead = h.shape.slice(0, -1)
  const rows = lead.reduce((a, b) => a * b, 1)
  const count = classes.shape.at(-2)!
  const flat = (x: tf.Tensor) => x.rank === 2 ? x : x.reshape([rows, count])
  const batched = (x: tf.Tensor) => h.rank === 2 ? x : x.reshape([...lead, x.shape[1]!])
  if (!FusedKernel.available("SiderealTakeAlong")) {
    const logits = flat(legalLogits(tf.matMul(h, classes, false, true), legal))
    const index = tf.range(0, rows, 1, "int32").mul(tf.scalar(count, "int32")).add(targets.reshape([rows]))
    return tf.gather(tf.logSoftmax(logits).reshape([-1]), index.cast("int32")).mul(weights.reshape([rows])).sum().neg()
  }
  const column = targets.reshape([rows, 1])
  const rowWeights = weights.reshape([rows, 1])
  const fused = tf.customGrad((...args) => {
    const [h, classes, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc]
    const probabilities = tf.softmax(flat(legalLogits(tf.matMul(h, classes, false, true), legal)), -1)
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
        const dLogits = batched(FusedKernel.putAlong(probabilities, column, chosen.sub(tf.scalar(1)))) as tf.Tensor2D
        const scale = batched(rowWeights.mul(dy))
        return [
          tf.matMul(dLogits, classes).mul(scale),
          tf.matMul(dLogits, h.mul(scale), true, false)
        ]
      }
    }
  })
  return fused(h, classes)
}
