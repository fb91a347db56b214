/**
 * Root-mean-square normalisation (Zhang and Sennrich 2019): `y = gain * x / sqrt(mean(x^2) + epsilon)`.
 */
import * as tf from "@tensorflow/tfjs"
import * as FusedKernel from "./FusedKernel.ts"

/** Normalises the rows of `x` [M, D] with `gain` [D]. */
export const apply = (x: tf.Tensor, gain: tf.Tensor, epsilon: number): tf.Tensor => {
  if (!FusedKernel.available("SiderealRmsNorm")) {
    return x.mul(x.square().mean(-1, true).add(epsilon).rsqrt()).mul(gain)
  }
  const fused = tf.customGrad((...args) => {
    const [rows, scale, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc]
    const [value, inverse] = FusedKernel.rmsNorm(rows, scale, epsilon)
    save([rows, scale, inverse])
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const [x, gain, inverse] = saved as [tf.Tensor, tf.Tensor, tf.Tensor]
        const width = gain.shape[0]!
        // Sums over rows and columns as products with [M, 1] and [D, 1] save two passes over [M, D].
        const product = dy.mul(x) as tf.Tensor2D
        const column = gain.mul(1 / width).reshape([width, 1]) as tf.Tensor2D
        const pull = tf.matMul(product, column).mul(inverse.square().mul(inverse))
        return [
          dy.mul(gain).mul(inverse).sub(x.mul(pull)),
          tf.matMul(inverse as tf.Tensor2D, product, true, false).reshape([width])
        ]
      }
    }
  })
  return fused(x, gain)
}
