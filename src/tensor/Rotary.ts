/**
 * Rotary position embedding (Su et al. 2021) in the half-split layout of Llama and Qwen: components `i` and
 * `i + width/2` of a head are rotated by the angle `position * inverseFrequency[i]`, in radians.
 */
import * as tf from "@tensorflow/tfjs"
import * as FusedKernel from "./FusedKernel.ts"

/** Table of cosines and sines, each [positions, width / 2]; `half` is width / 2. */
export interface Table {
  readonly cos: Float32Array
  readonly sin: Float32Array
  readonly positions: number
  readonly half: number
}

/** Settings of the frequency scaling of Llama 3 for longer contexts. */
export interface Llama3Scaling {
  readonly factor: number
  readonly lowFrequencyFactor: number
  readonly highFrequencyFactor: number
  readonly originalPositions: number
}

/** Computes the table for `positions` positions and heads of `width` components, with angles in float64. */
export const table = (
  positions: number,
  width: number,
  theta: number,
  scaling?: Llama3Scaling | undefined
): Table => {
  const half = width / 2
  const cos = new Float32Array(positions * half)
  const sin = new Float32Array(positions * half)
  for (let i = 0; i < half; i++) {
    const frequency = scaled(theta ** (-2 * i / width), scaling)
    for (let position = 0; position < positions; position++) {
      cos[position * half + i] = Math.cos(position * frequency)
      sin[position * half + i] = Math.sin(position * frequency)
    }
  }
  return { cos, sin, positions, half }
}

const scaled = (frequency: number, scaling: Llama3Scaling | undefined): number => {
  if (scaling === undefined) return frequency
  const wavelength = 2 * Math.PI / frequency
  const low = scaling.originalPositions / scaling.lowFrequencyFactor
  const high = scaling.originalPositions / scaling.highFrequencyFactor
  if (wavelength < high) return frequency
  if (wavelength > low) return frequency / scaling.factor
  const smooth = (scaling.originalPositions / wavelength - scaling.lowFrequencyFactor) /
    (scaling.highFrequencyFactor - scaling.lowFrequencyFactor)
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency
}

/** A table as tensors of a program, each [positions, width / 2]. */
export interface TableTensors {
  readonly cos: tf.Tensor
  readonly sin: tf.Tensor
  readonly negativeSin: tf.Tensor
}

/** Converts a table to tensors of the program being built. */
export const tensors = ({ cos, half, positions, sin }: Table): TableTensors => ({
  cos: tf.tensor2d(cos, [positions, half]),
  sin: tf.tensor2d(sin, [positions, half]),
  negativeSin: tf.tensor2d(sin.map((value) => -value), [positions, half])
})

/** Rotates the heads of `x` [B, T, heads x width] at `positions` [B, T]; returns the shape of `x`. */
export const apply = (x: tf.Tensor, positions: tf.Tensor, angles: TableTensors, heads: number): tf.Tensor => {
  if (!FusedKernel.available("SiderealRotary")) {
    const [batch, length, width] = x.shape as [number, number, number]
    const half = width / heads / 2
    const at = (values: tf.Tensor) => tf.gather(values, positions).reshape([batch, length, 1, half])
    const [a, b] = tf.split(x.reshape([batch, length, heads, 2 * half]), 2, 3) as [tf.Tensor, tf.Tensor]
    const [cos, sin] = [at(angles.cos), at(angles.sin)]
    return tf.concat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], 3).reshape(x.shape)
  }
  const fused = tf.customGrad((...args) => {
    const [x, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc]
    save([positions, angles.cos, angles.negativeSin])
    return {
      value: FusedKernel.rotary(x, positions, angles.cos, angles.sin, heads),
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const [positions, cos, negativeSin] = saved as [tf.Tensor, tf.Tensor, tf.Tensor]
        return FusedKernel.rotary(dy, positions, cos, negativeSin, heads)
      }
    }
  })
  return fused(x)
}
