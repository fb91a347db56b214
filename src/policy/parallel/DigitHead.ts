/**
 * Head of the parallel family: all digits of the next item are written at once, independently given the history.
 *
 * For digit k, `u_k = h + silu(W_k h + b_k)`, and the logit of code c is the cosine of `u_k` and the code's embedding, over a
 * temperature (Hou et al. 2025, RPG). An item's score is the mean of the logits of its digits times `exp(a)`, plus a
 * bias of the item; training is a softmax over items of this score, not over the codes of each digit, which differs
 * from the paper.
 */
import * as tf from "@tensorflow/tfjs"
import * as LinearCrossEntropy from "../../tensor/LinearCrossEntropy.ts"
import { type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import * as RmsNorm from "../../tensor/RmsNorm.ts"
import { type GeneratorHead } from "../item/GeneratorHead.ts"
import * as ItemNetwork from "../item/ItemNetwork.ts"
import { type Inputs, type ItemShape } from "../item/ItemNetwork.ts"
import * as Transformer from "../transformer/Transformer.ts"

/** Names of the parameters. */
export const names = {
  weight: "digits.weight",
  bias: "digits.bias",
  scale: "digits.scale",
  itemBias: "digits.item.bias"
} as const

/** Returns the names, shapes and initial values of the parameters; `normal` returns standard normal draws. */
export const parameters = (
  { config: { width }, items, levels }: ItemShape,
  normal: () => number
): ParameterSpecs => ({
  [names.weight]: ItemNetwork.zeros(levels * width, width),
  [names.bias]: ItemNetwork.drawn([levels * width], 0.02, normal),
  [names.scale]: ItemNetwork.zeros(1),
  [names.itemBias]: ItemNetwork.zeros(items)
})

/** Scales rows [M, D] to length 1. */
const unit = (rows: tf.Tensor): tf.Tensor => {
  const width = rows.shape[1]!
  return RmsNorm.apply(rows, tf.fill([width], 1 / Math.sqrt(width)), 1e-9)
}

/** Computes the directions of all digits after states [M, D], [M, L x D]; every digit's has length 1. */
const directions = ({ config: { width }, levels }: ItemShape, weights: Inputs, states: tf.Tensor): tf.Tensor => {
  const rows = states.shape[0]!
  const x = tf.matMul(states as tf.Tensor2D, weights[names.weight]! as tf.Tensor2D, false, true)
    .add(weights[names.bias]!)
  const u = x.mul(x.sigmoid()).reshape([rows, levels, width]).add(states.reshape([rows, 1, width]))
  return unit(u.reshape([rows * levels, width])).reshape([rows, levels * width])
}

/** Computes the logits of all codes of every digit, before scaling, [M, L x K], from states [M, D]. */
export const logits = (shape: ItemShape, temperature: number, weights: Inputs, states: tf.Tensor): tf.Tensor => {
  const { config: { width }, levels, vocabulary: { offsets, sizes } } = shape
  const u = directions(shape, weights, states)
  const codes = unit(weights[Transformer.embeddingName]!)
  return tf.concat(
    Array.from({ length: levels }, (_, level) => {
      const own = tf.slice(u as tf.Tensor2D, [0, level * width], [-1, width])
      const table = tf.slice(codes as tf.Tensor2D, [offsets[level]!, 0], [sizes[level]!, width])
      return tf.matMul(own, table, false, true)
    }),
    1
  ).mul(1 / temperature)
}

/** Computes the weighted cross-entropy of the items' scores over the classes of `ItemNetwork.classInputs`. */
const loss = (
  shape: ItemShape,
  temperature: number,
  weights: Inputs,
  inputs: Inputs,
  states: tf.Tensor
): tf.Tensor => {
  const { config: { width }, levels } = shape
  const rows = states.shape[0]!
  const classes = inputs["classes"]!
  const count = classes.shape[0]!
  const codes = unit(weights[Transformer.embeddingName]!)
  const vectors = tf.gather(codes, ItemNetwork.tokensOf(inputs, classes).reshape([-1])).reshape([count, levels * width])
  const scale = weights[names.scale]!.exp().mul(1 / (temperature * levels))
  return LinearCrossEntropy.loss(
    ItemNetwork.withOne(directions(shape, weights, states).mul(scale)),
    ItemNetwork.withColumn(vectors, tf.gather(weights[names.itemBias]!, classes).add(inputs["corrections"]!)),
    { targets: inputs["labels"]!.reshape([rows]), weights: inputs["weights"]!.reshape([rows]) }
  )
}

/** Makes the head of the `parallel` family in supervised training, with a temperature of the cosines. */
export const generator = (temperature: number): GeneratorHead => ({
  term: "digits",
  parameters,
  inputs: () => ({}),
  dropoutRows: () => 0,
  loss: (shape, weights, inputs, states) => loss(shape, temperature, weights, inputs, states),
  feeds: () => ({})
})
