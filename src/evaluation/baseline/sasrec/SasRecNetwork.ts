/**
 * What a network of SASRec is to training and scoring: named parameters, states of positions, and the classes that the
 * states are compared with.
 *
 * Rows [B, T] hold several histories side by side; `segments` tells them apart, and `positions` count from 0 in each.
 */
import * as tf from "@tensorflow/tfjs"
import * as Attention from "../../../tensor/Attention.ts"
import { type ParameterSpecs } from "../../../tensor/ParameterBuffer.ts"
import { float32, int32, type TensorSpec } from "../../../tensor/TensorProgram.ts"

/** Tensors by name. */
export type Tensors = Readonly<Record<string, tf.Tensor>>

/** Inputs of a forward pass. */
export interface NetworkInput {
  /** Item numbers [B, T]; the network's padding where there is none. */
  readonly tokens: tf.Tensor
  /** Places in the histories [B, T], from 0. */
  readonly positions: tf.Tensor
  /** Numbers of the histories [B, T]; what is no history has a number of its own. */
  readonly segments: tf.Tensor
  /** Masks [B, T, D] of 0 and `1 / (1 - rate)`, one for each site; none in evaluation. */
  readonly dropout?: ReadonlyArray<tf.Tensor> | undefined
}

/** States and classes of equal width: the logits [M, N] are their products. */
export interface Readout {
  /** [M, R] */
  readonly states: tf.Tensor2D
  /** [N, R] */
  readonly classes: tf.Tensor2D
}

/** A network over N items. */
export interface Network {
  readonly items: number
  /** Components of a state, D. */
  readonly width: number
  /** What stands in rows where there is no item. */
  readonly padding: number
  /** Places that dropout acts on. */
  readonly dropoutSites: number
  readonly parameters: ParameterSpecs
  /** Computes the states after every position, [B x T, D]. */
  states(weights: Tensors, input: NetworkInput): tf.Tensor2D
  /** Prepares states [M, D] and the items for their products. */
  readout(weights: Tensors, states: tf.Tensor2D): Readout
}

/** The rows as inputs of a program. */
export const rowInputs = { tokens: int32("B", "T"), positions: int32("B", "T"), segments: int32("B", "T") } as const

/** The rows among the inputs of a program. */
export const rowsOf = (inputs: Tensors): NetworkInput => ({
  tokens: inputs["tokens"]!,
  positions: inputs["positions"]!,
  segments: inputs["segments"]!
})

/** The weights as inputs of a program. */
export const weightInputs = ({ parameters }: Network): Record<string, TensorSpec> =>
  Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, float32(...shape)]))

/** Computes the logits of all items after the positions `last` [M], numbered through all rows: [M, N]. */
export const logits = (network: Network, weights: Tensors, input: NetworkInput, last: tf.Tensor): tf.Tensor2D => {
  const { classes, states } = network.readout(
    weights,
    tf.gather(network.states(weights, input), last) as tf.Tensor2D
  )
  return tf.matMul(states, classes, false, true)
}

/** The additive mask [B, 1, T, T] of rows. */
export const mask = ({ positions, segments }: NetworkInput): tf.Tensor => Attention.packedMask(segments, positions)

/** Applies the dropout of a site to `x` [B x T, D]. */
export const drop = (x: tf.Tensor, { dropout }: NetworkInput, site: number): tf.Tensor => {
  const chosen = dropout?.[site]
  return chosen === undefined ? x : x.mul(chosen.reshape(x.shape))
}

/** Looks up rows of a table [V, D] for indices [B, T]: [B x T, D]. */
export const lookUp = (table: tf.Tensor, indices: tf.Tensor): tf.Tensor2D =>
  tf.gather(table, indices.reshape([indices.shape[0]! * indices.shape[1]!])) as tf.Tensor2D
