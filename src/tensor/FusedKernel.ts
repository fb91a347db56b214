/**
 * Operations that some backends run as one kernel.
 *
 * Each operation of this folder (`RmsNorm`, `Rotary`, `SwiGlu`, `Attention`, `LinearCrossEntropy`) is written twice: as
 * fused kernels with a gradient by hand, used where the backend has the kernels, and as plain tfjs operations with
 * tfjs's own gradient, used elsewhere. The second form is the oracle of the first.
 */
import * as tf from "@tensorflow/tfjs"

/** The fused kernels that a backend may register. */
export type FusedKernelName =
  | "SiderealRmsNorm"
  | "SiderealRotary"
  | "SiderealScaledMatMul"
  | "SiderealTakeAlong"
  | "SiderealPutAlong"

/** Whether the backend in use has the kernel. */
export const available = (name: FusedKernelName): boolean => tf.getKernel(name, tf.getBackend()) !== undefined

const run = (name: FusedKernelName, inputs: Record<string, tf.Tensor>, attributes: Record<string, number | boolean>) =>
  tf.engine().runKernel(name, inputs, attributes)

/** RMS normalisation of rows: the scaled rows [M, D] and the inverse root mean square [M, 1]. */
export const rmsNorm = (x: tf.Tensor, gain: tf.Tensor, epsilon: number): readonly [tf.Tensor, tf.Tensor] =>
  run("SiderealRmsNorm", { x, gain }, { epsilon }) as unknown as [tf.Tensor, tf.Tensor]

/** Rotary embedding of `heads` heads in [B, T, heads x width] at integer positions [B, T]. */
export const rotary = (
  x: tf.Tensor,
  positions: tf.Tensor,
  cos: tf.Tensor,
  sin: tf.Tensor,
  heads: number
): tf.Tensor => run("SiderealRotary", { x, positions, cos, sin }, { heads }) as tf.Tensor

/** `alpha * a b` over the last two axes, either side transposed. */
export const scaledMatMul = (
  a: tf.Tensor,
  b: tf.Tensor,
  alpha: number,
  transposeA = false,
  transposeB = false
): tf.Tensor => run("SiderealScaledMatMul", { a, b }, { alpha, transposeA, transposeB }) as tf.Tensor

/** Picks column `indices[m]` of each row: [M, V] and [M, 1] give [M, 1]. */
export const takeAlong = (x: tf.Tensor, indices: tf.Tensor): tf.Tensor =>
  run("SiderealTakeAlong", { x, indices }, {}) as tf.Tensor

/** Replaces column `indices[m]` of each row by `updates[m]`. */
export const putAlong = (x: tf.Tensor, indices: tf.Tensor, updates: tf.Tensor): tf.Tensor =>
  run("SiderealPutAlong", { x, indices, updates }, {}) as tf.Tensor
