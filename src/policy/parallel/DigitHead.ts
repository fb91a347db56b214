/**
 * Head of the parallel family: all digits of the next item are written at once, independently given the history.
 *
 * For digit k, `u_k = q_k + silu(W_k h + b_k)`, where q_k is a projection of the state h, or h itself where the codes'
 * directions are those of the input; and the logit of code c is the cosine of `u_k` and the code's embedding, over a
 * temperature (Hou et al. 2025, RPG). An item's score is the mean of the logits of its digits times `exp(a)`, plus a
 * bias of the item and, if it is in the history, the addition of `Repeats`; training is a softmax over items of this score, not over the codes of each digit, which differs
 * from the paper.
 */
import * as tf from "@tensorflow/tfjs"
import { fill } from "@tensorflow/tfjs"
import { type SidIndex } from "../../sid/SidIndex.ts"
import { type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import * as RmsNorm from "../../tensor/RmsNorm.ts"
import { float32, hostFloat32, type TensorSpec } from "../../tensor/TensorProgram.ts"
import * as CompactVocabulary from "../flat/CompactVocabulary.ts"
import { type GeneratorHead, type HostEvaluation } from "../item/GeneratorHead.ts"
import * as ItemNetwork from "../item/ItemNetwork.ts"
import { type Inputs, type ItemShape } from "../item/ItemNetwork.ts"
import * as Repeats from "../item/Repeats.ts"
import * as Transformer from "../transformer/Transformer.ts"
import * as DigitLoss from "./DigitLoss.ts"

/** Names of the parameters. */
export const names = {
  codes: "digits.codes.weight",
  query: "digits.query.weight",
  gate: "digits.gate.weight",
  gateBias: "digits.gate.bias",
  scale: "digits.scale",
  itemBias: "digits.item.bias",
  repeats: "digits.repeats"
} as const

/** Shape of the head's scores. */
export interface DigitShape {
  /** Temperature of the cosines. */
  readonly temperature: number
  /** Components of the direction of a digit, E; "tied" for the directions of the codes' embedding in the input. */
  readonly digitWidth: number | "tied"
}

/** Returns the number of components of a direction, E. */
const widthOf = ({ config: { width } }: ItemShape, { digitWidth }: DigitShape): number =>
  digitWidth === "tied" ? width : digitWidth

/** Returns the names, shapes and initial values of the parameters; `normal` returns standard normal draws. */
const parameters = (
  shape: ItemShape,
  digits: DigitShape,
  normal: () => number
): ParameterSpecs => {
  const { config: { vocabulary, width }, items, levels } = shape
  const components = levels * widthOf(shape, digits)
  return {
    ...(digits.digitWidth === "tied" ? {} : {
      [names.codes]: ItemNetwork.drawn([vocabulary, digits.digitWidth], 0.05, normal),
      [names.query]: ItemNetwork.drawn([components, width], 0.02, normal)
    }),
    [names.gate]: ItemNetwork.zeros(components, width),
    [names.gateBias]: ItemNetwork.drawn([components], 0.02, normal),
    [names.scale]: ItemNetwork.zeros(1),
    [names.itemBias]: ItemNetwork.zeros(items),
    ...(shape.repeats ? { [names.repeats]: ItemNetwork.zeros(1) } : {})
  }
}

/** Returns the number of codes of all digits, W. */
export const columns = ({ vocabulary: { sizes } }: ItemShape): number => sizes.reduce((a, b) => a + b, 0)

/** Scales rows [M, D] to length 1. */
const unit = (rows: tf.Tensor): tf.Tensor => {
  const width = rows.shape[1]!
  return RmsNorm.apply(rows, fill([width], 1 / Math.sqrt(width)), 1e-9)
}

/** Computes the directions of the codes of each digit, [L][K, E], each of length 1. */
const codeVectors = (shape: ItemShape, digits: DigitShape, weights: Inputs): ReadonlyArray<tf.Tensor> => {
  const { levels, vocabulary: { sizes } } = shape
  const all = weights[digits.digitWidth === "tied" ? Transformer.embeddingName : names.codes]! as tf.Tensor2D
  const codes = tf.slice(all, [CompactVocabulary.end + 1, 0], [columns(shape), widthOf(shape, digits)])
  return tf.split(unit(codes), sizes.slice(0, levels), 0)
}

/** Computes the directions of all digits after states [M, D], [M, L x E]; every digit's has length 1. */
const directions = (
  shape: ItemShape,
  digits: DigitShape,
  weights: Inputs,
  states: tf.Tensor
): tf.Tensor => {
  const { levels } = shape
  const digitWidth = widthOf(shape, digits)
  const rows = states.shape[0]!
  const linear = (name: string) => tf.matMul(states as tf.Tensor2D, weights[name]! as tf.Tensor2D, false, true)
  const gate = linear(names.gate).add(weights[names.gateBias]!)
  const query = digits.digitWidth === "tied"
    ? states.reshape([rows, 1, digitWidth])
    : linear(names.query).reshape([rows, levels, digitWidth])
  const u = gate.mul(gate.sigmoid()).reshape([rows, levels, digitWidth]).add(query)
  return unit(u.reshape([rows * levels, digitWidth])).reshape([rows, levels * digitWidth])
}

/**
 * Computes from states [M, D] what the scores of items are sums of: the logits of the codes of every digit, scaled,
 * [W, M], the biases of items [N], and the addition of repeats if there is one.
 */
export const parts = (
  shape: ItemShape,
  digits: DigitShape,
  weights: Inputs,
  states: tf.Tensor
): Record<string, tf.Tensor> => {
  const { levels, repeats } = shape
  const scale = weights[names.scale]!.exp().mul(1 / (digits.temperature * levels))
  // One split has one gradient, where slices would each have one of the whole size.
  const own = tf.split(directions(shape, digits, weights, states).mul(scale), levels, 1)
  const logits = codeVectors(shape, digits, weights).map((codes, level) => tf.matMul(codes, own[level]!, false, true))
  return {
    digits: tf.concat(logits, 0),
    // An output of a program is not one of its inputs.
    biases: weights[names.itemBias]!.add(tf.scalar(0)),
    ...(repeats ? { repeats: Repeats.addition(weights[names.repeats]!) } : {})
  }
}

/** Returns the specifications of the derivatives by `parts`, over positions of `dimensions`. */
export const pulls = (shape: ItemShape, ...dimensions: ReadonlyArray<string>): Record<string, TensorSpec> => ({
  digits: float32(columns(shape), ...dimensions),
  biases: float32(shape.items),
  ...(shape.repeats ? { repeats: float32() } : {})
})

const evaluation = (shape: ItemShape, index: SidIndex): HostEvaluation => {
  const loss = DigitLoss.make({ columns: columnsOf(shape, index), levels: shape.levels, width: columns(shape) })
  return {
    into: (positions) => ({ digits: loss.logits(positions) }),
    evaluate: ({ biases, repeats }, targets) => {
      const positions = targets.targets.length
      const value = loss.evaluate(positions, {
        ...targets,
        biases: biases!.data,
        addition: repeats?.data[0] ?? 0
      })
      return {
        loss: value.loss,
        pulls: {
          digits: hostFloat32(loss.logits(positions), columns(shape), ...targets.shape),
          biases: hostFloat32(value.biases, shape.items),
          ...(shape.repeats ? { repeats: hostFloat32(Float32Array.of(value.addition)) } : {})
        }
      }
    }
  }
}

/** Returns the columns of the digits of every item among those of all codes, [N, L]; -1 beyond the end of a SID. */
export const columnsOf = (
  { levels, vocabulary: { offsets } }: ItemShape,
  { sids }: SidIndex
): Int32Array => {
  const found = new Int32Array(sids.length * levels).fill(-1)
  for (const [item, sid] of sids.entries()) {
    for (const [level, code] of sid.entries()) found[item * levels + level] = offsets[level]! - 1 + code
  }
  return found
}

/**
 * Makes the head of the `parallel` family in supervised training; `dropout` is the rate on the states that it reads, by
 * default those of the item head.
 */
export const generator = (digits: DigitShape, dropout?: number): GeneratorHead => ({
  term: "digits",
  parameters: (shape, normal) => parameters(shape, digits, normal),
  dropout: dropout === undefined ? undefined : {
    rate: () => dropout,
    dimensions: ({ config: { width } }) => ["B", "T", width],
    of: ({ config: { width } }, rows, length) => [rows, length, width]
  },
  loss: {
    _tag: "Host",
    outputs: (shape, weights, states) => parts(shape, digits, weights, states),
    pulls,
    evaluation
  }
})
