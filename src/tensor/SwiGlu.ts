/**
 * SwiGLU, the gated unit of Llama and Qwen (Shazeer 2020): `silu(gate) * up`.
 */
import * as tf from "@tensorflow/tfjs"
import * as FusedKernel from "./FusedKernel.ts"

/** Computes `silu(gate) * up`, [M, F], from `gate` and `up`, both [M, F]. */
export const apply = (gate: tf.Tensor, up: tf.Tensor): tf.Tensor => {
  if (!FusedKernel.available("SiderealScaledMatMul")) return gate.mul(gate.sigmoid()).mul(up)
  const fused = tf.customGrad((...args) => {
    const [gate, up, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc]
    const sigmoid = gate.sigmoid()
    const silu = gate.mul(sigmoid)
    save([up, sigmoid, silu])
    return {
      value: silu.mul(up),
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const [up, sigmoid, silu] = saved as [tf.Tensor, tf.Tensor, tf.Tensor]
        const slope = sigmoid.add(silu.mul(tf.scalar(1).sub(sigmoid)))
        return [dy.mul(up).mul(slope), dy.mul(silu)]
      }
    }
  })
  return fused(gate, up)
}
