/**
 * Contract of the head that writes SIDs, in the supervised program of policies with one position per item.
 */
import type * as tf from "@tensorflow/tfjs"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import { type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import { type HostTensor, type TensorSpec } from "../../tensor/TensorProgram.ts"
import { type Inputs, type ItemShape } from "./ItemNetwork.ts"
import { type ItemDropout } from "./ItemPolicyConfig.ts"

/** Targets of M positions. */
export interface Targets {
  /** Target item of each position, [M]; -1 at padding. */
  readonly items: Int32Array
  /** Weight of each position's loss, [M]; 0 at padding. */
  readonly weights: Float32Array
}

/** Dropout of a head. */
export interface HeadDropout {
  /** Returns the rate. */
  readonly rate: (rates: ItemDropout) => number
  /** Returns the dimensions of its mask in a program over B rows of T positions. */
  readonly dimensions: (shape: ItemShape) => ReadonlyArray<number | string>
  /** Returns those of a batch. */
  readonly of: (shape: ItemShape, rows: number, length: number) => ReadonlyArray<number>
}

/** Options of the loss of a head. */
export interface LossOptions {
  /** Dropout mask of the head. @default no dropout */
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
  /** Its own dropout; a head without reads the states that the item head reads. */
  readonly dropout: HeadDropout | undefined
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
