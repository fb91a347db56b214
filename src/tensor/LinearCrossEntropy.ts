/**
 * Cross-entropy of a linear classifier without keeping its logits: `sum_m weights[m] * -log softmax(h E')[targets[m]]`.
 *
 * The softmax runs over the legal classes of each row only, when a mask says which they are. Label smoothing (Szegedy et
 * al. 2016) replaces `-log p(target)` with `(1 - smoothing) -log p(target) + smoothing mean_j -log p(j)`, j over the same
 * classes. The gradient is written by hand: the softmax is computed once, one entry per row is replaced, and the row
 * weights are applied to the [M, D] side of the two products instead of to [M, V]. Rows may come in batches that have
 * classes of their own.
 */
import * as tf from "@tensorflow/tfjs"
import { masked } from "./Attention.ts"
import * as FusedKernel from "./FusedKernel.ts"

/** Targets and weights are [..., M]; `legal` is a boolean [..., M, V]. A row with weight 0 does not count. */
export interface Labels {
  readonly targets: tf.Tensor
  readonly weights: tf.Tensor
  readonly legal?: tf.Tensor | undefined
  /** Share of the target distribution that is uniform over the legal classes, 0 to 1. @default 0 */
  readonly smoothing?: number | undefined
  /** Scalar that is added to the logits of marked classes; `marks` is 1 or 0, [..., M, V]. @default none */
  readonly addition?: { readonly marks: tf.Tensor; readonly by: tf.Tensor } | undefined
}

/** Returns logits [M, V] with those of illegal classes set to `Attention.masked`. */
export const legalLogits = (logits: tf.Tensor, legal: tf.Tensor | undefined): tf.Tensor =>
  legal === undefined ? logits : tf.where(legal, logits, tf.fill(logits.shape, masked))

/** Returns the uniform distribution over the legal classes of each row, [M, V]; 0 in a row without any. */
const uniform = (shape: [number, number], legal: tf.Tensor | undefined): tf.Tensor => {
  // A traced shape is not known yet: the number of classes is a sum.
  const ones = legal === undefined ? tf.fill(shape, 1) : legal.cast("float32")
  return ones.div(ones.sum(1, true).maximum(tf.scalar(1)))
}

/** Computes the scalar loss for hidden rows `h` [..., M, D] and class rows `classes` [..., V, D]. */
export const loss = (
  h: tf.Tensor,
  classes: tf.Tensor,
  { addition, legal, smoothing = 0, targets, weights }: Labels
): tf.Tensor => {
  const lead = h.shape.slice(0, -1)
  const rows = lead.reduce((a, b) => a * b, 1)
  const count = classes.shape.at(-2)!
  const flat = (x: tf.Tensor) => x.rank === 2 ? x : x.reshape([rows, count])
  const batched = (x: tf.Tensor) => h.rank === 2 ? x : x.reshape([...lead, x.shape[1]!])
  const allowed = legal === undefined ? undefined : flat(legal)
  const marks = addition === undefined ? undefined : addition.marks.reshape([rows, count])
  const logitsOf = (h: tf.Tensor, classes: tf.Tensor, by: tf.Tensor | undefined): tf.Tensor => {
    const products = flat(tf.matMul(h, classes, false, true))
    return legalLogits(marks === undefined || by === undefined ? products : products.add(marks.mul(by)), allowed)
  }
  /** Computes the smoothed log-likelihood of each row, [M], from its log-probabilities and that of its target. */
  const smoothed = (logProbs: tf.Tensor, chosen: tf.Tensor): tf.Tensor => {
    const each = allowed === undefined ? logProbs : tf.where(allowed, logProbs, tf.zerosLike(logProbs))
    return chosen.mul(1 - smoothing).add(each.mul(uniform([rows, count], allowed)).sum(1).mul(smoothing))
  }
  if (!FusedKernel.available("SiderealTakeAlong")) {
    const logits = logitsOf(h, classes, addition?.by)
    const index = tf.range(0, rows, 1, "int32").mul(tf.scalar(count, "int32")).add(targets.reshape([rows]))
    const logProbs = tf.logSoftmax(logits)
    const chosen = tf.gather(logProbs.reshape([-1]), index.cast("int32"))
    return (smoothing === 0 ? chosen : smoothed(logProbs, chosen)).mul(weights.reshape([rows])).sum().neg()
  }
  const column = targets.reshape([rows, 1])
  const rowWeights = weights.reshape([rows, 1])
  const fused = tf.customGrad((...args) => {
    const [h, classes, by] = args as unknown as [tf.Tensor, tf.Tensor, tf.Tensor | undefined]
    const save = args.at(-1) as unknown as tf.GradSaveFunc
    const logits = logitsOf(h, classes, marks && by)
    /** Softmax without the uniform part of the targets, [M, V], and the log-likelihoods [M, 1]. */
    const sharp = () => {
      const probabilities = tf.softmax(logits, -1)
      const chosen = FusedKernel.takeAlong(probabilities, column)
      return { pulls: probabilities, chosen, likelihoods: chosen.maximum(tf.scalar(1e-37)).log() }
    }
    const smooth = () => {
      const logProbs = tf.logSoftmax(logits)
      const pulls = logProbs.exp().sub(uniform([rows, count], allowed).mul(smoothing))
      const chosen = FusedKernel.takeAlong(logProbs, column).reshape([rows])
      return {
        pulls,
        chosen: FusedKernel.takeAlong(pulls, column),
        likelihoods: smoothed(logProbs, chosen).reshape([rows, 1])
      }
    }
    const { chosen, likelihoods, pulls } = smoothing === 0 ? sharp() : smooth()
    save([h, classes, pulls, chosen, column, rowWeights, ...(marks === undefined ? [] : [marks])])
    return {
      value: likelihoods.mul(rowWeights).sum().neg(),
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const [h, classes, pulls, chosen, column, rowWeights, marks] = saved as [
          tf.Tensor2D,
          tf.Tensor2D,
          tf.Tensor,
          tf.Tensor,
          tf.Tensor,
          tf.Tensor,
          tf.Tensor | undefined
        ]
        const rest = FusedKernel.putAlong(pulls, column, chosen.sub(tf.scalar(1 - smoothing)))
        const dLogits = batched(rest) as tf.Tensor2D
        const scale = batched(rowWeights.mul(dy))
        return [
          tf.matMul(dLogits, classes).mul(scale),
          tf.matMul(dLogits, h.mul(scale), true, false),
          ...(marks === undefined ? [] : [rest.mul(marks).sum(1, true).mul(rowWeights.mul(dy)).sum()])
        ]
      }
    }
  })
  return addition === undefined ? fused(h, classes) : fused(h, classes, addition.by)
}
