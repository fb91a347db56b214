/**
 * SASRec (Kang and McAuley 2018) as MiniOneRec publishes and trains it: one block, one head, learned positions.
 *
 * `s = (item + position) * mask`, `n = LN1(s)`, attention of queries from n over keys and values from s, plus n; LN2, a
 * feed-forward layer of equal width with its own residual and norm, LN3, and a linear map to the items. Parameters have
 * the names and shapes of MiniOneRec's state dict, so that its checkpoints load.
 *
 * A query whose normalised features sum to exactly 0 attends to nothing, as in the original. Differs from the original:
 * attention dropout acts on the result, not on the weights.
 */
import * as tf from "@tensorflow/tfjs"
import { fill } from "@tensorflow/tfjs"
import * as Attention from "../../../tensor/Attention.ts"
import * as Linear from "../../../tensor/Linear.ts"
import { type ParameterSpec, type ParameterSpecs } from "../../../tensor/ParameterBuffer.ts"
import * as StopGradient from "../../../tensor/StopGradient.ts"
import * as SasRecNetwork from "./SasRecNetwork.ts"

/** Shape of the network. */
export interface PublishedShape {
  /** Items of the catalogue, N. */
  readonly items: number
  /** Components of a state, D. */
  readonly width: number
  /** Largest number of positions of a history, T. */
  readonly window: number
}

const epsilon = 1e-5

/** Normalises the rows of `x` [M, D] to mean 0 and variance 1, then scales and shifts them (Ba et al. 2016). */
const layerNorm = (x: tf.Tensor, weights: SasRecNetwork.Tensors, name: string): tf.Tensor => {
  const centred = x.sub(x.mean(-1, true))
  const scale = centred.square().mean(-1, true).add(tf.scalar(epsilon)).rsqrt()
  return centred.mul(scale).mul(weights[`${name}.weight`]!).add(weights[`${name}.bias`]!)
}

const linear = (x: tf.Tensor, weights: SasRecNetwork.Tensors, name: string): tf.Tensor =>
  Linear.apply(x, weights[`${name}.weight`]!, weights[`${name}.bias`]!)

/** Applies a convolution of kernel width 1, with weights [O, I, 1]. */
const pointwise = (x: tf.Tensor, weights: SasRecNetwork.Tensors, name: string): tf.Tensor => {
  const weight = weights[`${name}.weight`]!
  return Linear.apply(x, weight.reshape([weight.shape[0]!, weight.shape[1]!]), weights[`${name}.bias`]!)
}

/** Returns 0 for rows whose features sum to exactly 0 and 1 for others, [M, 1], without a gradient. */
const isFilled = (x: tf.Tensor): tf.Tensor => StopGradient.apply(x).sum(-1, true).abs().sign()

const parameters = ({ items, width, window }: PublishedShape, normal: () => number): ParameterSpecs => {
  const specs: Record<string, ParameterSpec> = {}
  const random = (name: string, shape: ReadonlyArray<number>, deviation: number) => {
    specs[name] = {
      shape,
      initialize: (values) => {
        for (let i = 0; i < values.length; i++) values[i] = normal() * deviation
      }
    }
  }
  const constant = (name: string, size: number, value: number) => {
    specs[name] = { shape: [size], initialize: (values) => values.fill(value) }
  }
  const norm = (name: string) => {
    constant(`${name}.weight`, width, 1)
    constant(`${name}.bias`, width, 0)
  }
  // Deviation of PyTorch's default initialisation, which is uniform between -1 / sqrt(D) and 1 / sqrt(D).
  const deviation = 1 / Math.sqrt(3 * width)
  const map = (name: string, shape: ReadonlyArray<number>) => {
    random(`${name}.weight`, shape, deviation)
    constant(`${name}.bias`, shape[0]!, 0)
  }
  random("item_embeddings.weight", [items + 1, width], 0.01)
  random("positional_embeddings.weight", [window, width], 1)
  for (const name of ["ln_1", "ln_2", "ln_3", "feed_forward.layer_norm"]) norm(name)
  for (const part of ["q", "k", "v"]) map(`mh_attn.linear_${part}`, [width, width])
  for (const part of ["w_1", "w_2"]) map(`feed_forward.${part}`, [width, width, 1])
  map("s_fc", [items, width])
  return specs
}

/** Makes the network; `normal` draws the initial weights from the standard normal distribution. */
export const make = (shape: PublishedShape, normal: () => number): SasRecNetwork.Network => {
  const { items, width } = shape
  return {
    items,
    width,
    padding: items,
    dropoutSites: 3,
    parameters: parameters(shape, normal),
    states: (weights, input) => {
      const { positions, tokens } = input
      const [batch, length] = tokens.shape as [number, number]
      const rows = batch * length
      const known = tokens.reshape([rows, 1]).less(tf.scalar(items, "int32")).cast("float32")
      const embedded = SasRecNetwork.lookUp(weights["item_embeddings.weight"]!, tokens)
        .add(SasRecNetwork.lookUp(weights["positional_embeddings.weight"]!, positions))
      const sequence = SasRecNetwork.drop(embedded, input, 0).mul(known)
      const queries = layerNorm(sequence, weights, "ln_1")
      const split = (x: tf.Tensor) => x.reshape([batch, length, width])
      const project = (x: tf.Tensor, part: "q" | "k" | "v") => split(linear(x, weights, `mh_attn.linear_${part}`))
      const keyMask = tf.scalar(1).sub(isFilled(sequence)).mul(tf.scalar(Attention.masked))
      const attended = Attention.apply(
        project(queries, "q"),
        Attention.splitHeads(project(sequence, "k"), 1),
        Attention.splitHeads(project(sequence, "v"), 1),
        SasRecNetwork.mask(input).add(keyMask.reshape([batch, 1, 1, length])),
        1
      ).reshape([rows, width])
      const mixed = SasRecNetwork.drop(attended.mul(isFilled(queries)), input, 1).add(queries)
      const between = layerNorm(mixed, weights, "ln_2")
      const inner = Linear.relu(pointwise(between, weights, "feed_forward.w_1"))
      const outer = SasRecNetwork.drop(pointwise(inner, weights, "feed_forward.w_2"), input, 2)
      const fed = layerNorm(outer.add(between), weights, "feed_forward.layer_norm").mul(known)
      return layerNorm(fed, weights, "ln_3") as tf.Tensor2D
    },
    readout: (weights, states) => ({
      // The bias is a class component whose state is 1.
      states: tf.concat([states, fill([states.shape[0], 1], 1)], 1),
      classes: tf.concat([weights["s_fc.weight"]!, weights["s_fc.bias"]!.reshape([items, 1])], 1) as tf.Tensor2D
    })
  }
}
