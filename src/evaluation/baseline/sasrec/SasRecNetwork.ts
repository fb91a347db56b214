/**
 * Contract of SASRec networks: named parameters, states of positions, and classes whose products with the states are
 * the logits.
 *
 * Rows [B, T] contain several histories each; `segments` numbers the histories, and `positions` count from 0 in each.
 */
import * as tf from "@tensorflow/tfjs"
import * as Attention from "../../../tensor/Attention.ts"
import { type ParameterSpecs } from "../../../tensor/ParameterBuffer.ts"
import { float32, int32, type TensorSpec } from "../../../tensor/TensorProgram.ts"

/** Tensors by name. */
export type Tensors = Readonly<Record<string, tf.Tensor>>

/** Inputs of a forward pass. */
export interface NetworkInput {
  /** Item numbers, [B, T]; the network's `padding` at positions without an item. */
  readonly tokens: tf.Tensor
  /** Positions in the histories, from 0, [B, T]. */
  readonly positions: tf.Tensor
  /** Numbers of the histories, [B, T]; padding has a number of its own. */
  readonly segments: tf.Tensor
  /** Dropout masks [B, T, D] of 0 and `1 / (1 - rate)`, one for each site. @default no dropout */
  readonly dropout?: ReadonlyArray<tf.Tensor> | undefined
}

/** States and classes of equal width: the logits [M, N] are their products. */
export interface Readout {
  /** States of M positions, [M, R]. */
  readonly states: tf.Tensor2D
  /** Vectors of the items, [N, R]. */
  readonly classes: tf.Tensor2D
}

/** Network over N items. */
export interface Network {
  /** Items of the catalogue, N. */
  readonly items: number
  /** Components of a state, D. */
  readonly width: number
  /** Token of positions without an item. */
  readonly padding: number
  /** Number of places at which dropout acts. */
  readonly dropoutSites: number
  readonly parameters: ParameterSpecs
  /** Computes the states after every position, [B x T, D]. */
  states(weights: Tensors, input: NetworkInput): tf.Tensor2D
  /** Prepares states [M, D] and the items for their products. */
  readout(weights: Tensors, states: tf.Tensor2D): Readout
}

/** Specifications of the rows as inputs of a program. */
export const rowInputs = { tokens: int32("B", "T"), positions: int32("B", "T"), segments: int32("B", "T") } as const

/** Returns the rows among the inputs of a program. */
export const rowsOf = (inputs: Tensors): NetworkInput => ({
  tokens: inputs["tokens"]!,
  positions: inputs["positions"]!,
  segments: inputs["segments"]!
})

/** Returns the specifications of the weights as inputs of a program. */
export const weightInputs = ({ parameters }: Network): Record<string, TensorSpec> =>
  Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, float32(...shape)]))

/** Computes the logits of all items after the positions `last` [M], flat indices into [B, T]; returns [M, N]. */
export const logits = (network: Network, weights: Tensors, input: NetworkInput, last: tf.Tensor): tf.Tensor2D => {
  const { classes, states } = network.readout(
    weights,
    tf.gather(network.states(weights, input), last) as tf.Tensor2D
  )
  return tf.matMul(states, classes, false, true)
}

/** Returns the additive attention mask of rows, [B, 1, T, T]. */
export const mask = ({ positions, segments }: NetworkInput): tf.Tensor => Attention.packedMask(segments, positions)

/** Applies the dropout of a site to `x` [B x T, D]. */
export const drop = (x: tf.Tensor, { dropout }: NetworkInput, site: number): tf.Tensor => {
  const chosen = dropout?.[site]
  return chosen === undefined ? x : x.mul(chosen.reshape(x.shape))
}

/** Looks up rows of a table [V, D] for indices [B, T]: [B x T, D]. */
export const lookUp = (table: tf.Tensor, indices: tf.Tensor): tf.Tensor2D =>
  tf.gather(table, indices.reshape([indices.shape[0]! * indices.shape[1]!])) as tf.Tensor2D
