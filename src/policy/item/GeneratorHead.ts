/**
 * Contract of the head that writes SIDs, in the supervised program of policies with one position per item.
 */
import type * as tf from "@tensorflow/tfjs"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import { type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import { type HostTensor, type TensorSpec } from "../../tensor/TensorProgram.ts"
import { type Inputs, type ItemShape } from "./ItemNetwork.ts"

/** Targets of M positions. */
export interface Targets {
  /** Target item of each position, [M]; -1 at padding. */
  readonly items: Int32Array
  /** Weight of each position's loss, [M]; 0 at padding. */
  readonly weights: Float32Array
}

/** Options of the loss of a head. */
export interface LossOptions {
  /** Dropout mask of the head, [rows, D]. @default no dropout */
  readonly dropout?: tf.Tensor | undefined
  /** Share of the target distribution that is uniform over the classes of each softmax. */
  readonly smoothing: number
}

/** Head that writes SIDs after the states of positions. */
export interface GeneratorHead {
  /** Name of its term of the loss. */
  readonly term: string
  /** Returns the names, shapes and initial values of its parameters; `normal` returns standard normal draws. */
  readonly parameters: (shape: ItemShape, normal: () => number) => ParameterSpecs
  /** Returns the inputs of its loss besides those of the item head. */
  readonly inputs: (shape: ItemShape) => Record<string, TensorSpec>
  /** Returns the number of rows of its dropout mask [rows, D] for M positions; 0 for a head without dropout. */
  readonly dropoutRows: (shape: ItemShape, positions: number) => number
  /** Computes the loss after states [M, D]. */
  readonly loss: (
    shape: ItemShape,
    weights: Inputs,
    inputs: Inputs,
    states: tf.Tensor,
    options: LossOptions
  ) => tf.Tensor
  /** Returns the feeds of its inputs; every position predicts at most one item of `space`. */
  readonly feeds: (shape: ItemShape, space: LeafSpace, targets: Targets) => Record<string, HostTensor>
}
