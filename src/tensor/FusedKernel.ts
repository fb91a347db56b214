/**
 * Operations that some backends run as one kernel.
 *
 * Each operation of this folder (`RmsNorm`, `Rotary`, `SwiGlu`, `Attention`, `LinearCrossEntropy`) is written twice: as
 * fused kernels with a hand-written gradient, used where the backend has the kernels, and as plain tfjs operations with
 * the gradient of tfjs, used elsewhere. Tests compare the first with the second.
 */
import * as tf from "@tensorflow/tfjs"

/** Names of the fused kernels that a backend may register. */
export type FusedKernelName =
  | "SiderealRmsNorm"
  | "SiderealRotary"
  | "SiderealScaledMatMul"
  | "SiderealTakeAlong"
  | "SiderealPutAlong"

/** Returns whether the current backend has the kernel. */
export const available = (name: FusedKernelName): boolean => tf.getKernel(name, tf.getBackend()) !== undefined

const run = (name: FusedKernelName, inputs: Record<string, tf.Tensor>, attributes: Record<string, number | boolean>) =>
  tf.engine().runKernel(name, inputs, attributes)

/** Normalises rows; returns the scaled rows [M, D] and the inverse root mean square [M, 1]. */
export const rmsNorm = (x: tf.Tensor, gain: tf.Tensor, epsilon: number): readonly [tf.Tensor, tf.Tensor] =>
  run("SiderealRmsNorm", { x, gain }, { epsilon }) as unknown as [tf.Tensor, tf.Tensor]

/** Applies the rotary embedding to `heads` heads in [B, T, heads x width] at integer positions [B, T]. */
export const rotary = (
  x: tf.Tensor,
  positions: tf.Tensor,
  cos: tf.Tensor,
  sin: tf.Tensor,
  heads: number
): tf.Tensor => run("SiderealRotary", { x, positions, cos, sin }, { heads }) as tf.Tensor

/** Computes `alpha * a b` over the last two axes, with either operand transposed. */
export const scaledMatMul = (
  a: tf.Tensor,
  b: tf.Tensor,
  alpha: number,
  transposeA = false,
  transposeB = false
): tf.Tensor => run("SiderealScaledMatMul", { a, b }, { alpha, transposeA, transposeB }) as tf.Tensor

/** Returns column `indices[m]` of each row, [M, 1], from rows [M, V] and indices [M, 1]. */
export const takeAlong = (x: tf.Tensor, indices: tf.Tensor): tf.Tensor =>
  run("SiderealTakeAlong", { x, indices }, {}) as tf.Tensor

/** Returns rows [M, V] with column `indices[m]` of each row replaced by `updates[m]`. */
export const putAlong = (x: tf.Tensor, indices: tf.Tensor, updates: tf.Tensor): tf.Tensor =>
  run("SiderealPutAlong", { x, indices, updates }, {}) as tf.Tensor
