/**
 * One adapted linear layer: the names of its two matrices, and its product at rank r.
 */
import * as tf from "@tensorflow/tfjs"
import * as LoraConfig from "./LoraConfig.ts"

/** Names of the matrices A [r, in] and B [out, r] of an adapter, as in peft's files. */
export interface Names {
  readonly down: string
  readonly up: string
}

/** Prefix of peft's names of the tensors of adapters. */
export const prefix = "base_model.model."

/** Returns the names of the adapter of a weight such as `model.layers.0.self_attn.q_proj.weight`. */
export const names = (weight: string): Names => {
  const module = `${prefix}${weight.replace(/\.weight$/, "")}`
  return { down: `${module}.lora_A.weight`, up: `${module}.lora_B.weight` }
}

/** Operands of a linear layer. */
export interface Operands {
  /** Name of the weight W in the base. */
  readonly name: string
  /** Input [M, in]. */
  readonly x: tf.Tensor
  /** Result of the base, W x, [M, out]. */
  readonly y: tf.Tensor
  /** Dropout mask of the input, of as many elements as `x`. @default no dropout */
  readonly mask?: tf.Tensor | undefined
}

/**
 * Returns `y + scale B (A x)` where `weights` contains an adapter of the layer, else `y`; the product B A is never
 * formed. Throws a RangeError for half an adapter, and for one without a configuration, whose scale is unknown.
 */
export const add = (
  lora: LoraConfig.LoraConfig | undefined,
  weights: Readonly<Record<string, tf.Tensor>>,
  { mask, name, x, y }: Operands
): tf.Tensor => {
  const { down, up } = names(name)
  const [a, b] = [weights[down], weights[up]]
  if (a === undefined && b === undefined) return y
  if (a === undefined || b === undefined) throw new RangeError(`the weight "${a === undefined ? down : up}" is missing`)
  if (lora === undefined) {
    throw new RangeError(`the weight "${down}" is an adapter, but the decoder's configuration has no "lora"`)
  }
  const input = mask === undefined ? x : x.mul(mask.reshape(x.shape))
  const low = tf.matMul(input as tf.Tensor2D, a as tf.Tensor2D, false, true).mul(tf.scalar(LoraConfig.scale(lora)))
  return y.add(tf.matMul(low as tf.Tensor2D, b as tf.Tensor2D, false, true))
}
