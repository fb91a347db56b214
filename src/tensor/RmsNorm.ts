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
        const unit = x.mul(inverse)
        const product = dy.mul(unit)
        const mean = tf.matMul(product, gain.mul(1 / width).reshape([width, 1]))
        return [dy.mul(gain).sub(unit.mul(mean)).mul(inverse), product.sum(0)]
      }
    }
  })
  return fused(x, gain)
}
