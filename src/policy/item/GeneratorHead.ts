/**
 * Contract of the head that writes SIDs, in the supervised training of policies with one position per item.
 */
import type * as tf from "@tensorflow/tfjs"
import { type SidIndex } from "../../sid/SidIndex.ts"
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

/** Loss that the program of the gradient computes. */
export interface GraphLoss {
  readonly _tag: "Graph"
  /** Returns the inputs of the loss besides those of the item head. */
  readonly inputs: (shape: ItemShape) => Record<string, TensorSpec>
  /** Computes the loss after states [M, D]. */
  readonly of: (
    shape: ItemShape,
    weights: Inputs,
    inputs: Inputs,
    states: tf.Tensor,
    options: LossOptions
  ) => tf.Tensor
  /** Returns the feeds of its inputs; every position predicts at most one item of `space`. */
  readonly feeds: (shape: ItemShape, space: LeafSpace, targets: Targets) => Record<string, HostTensor>
}

/** Targets of M positions among S classes, which are items. */
export interface ClassTargets {
  /** Shape of the positions, [B, T]. */
  readonly shape: readonly [number, number]
  /** Items of the classes, [S]. */
  readonly classes: Int32Array
  /** Addition to the score of each class that corrects for sampling, [S]. */
  readonly corrections: Float32Array
  /** Class of each position's target, [M]. */
  readonly targets: Int32Array
  /** Weight of each position's loss, [M]. */
  readonly weights: Float32Array
  /** Classes of each position that are in its history, [M], each once; undefined where there is no addition for them. */
  readonly repeats: ReadonlyArray<ReadonlyArray<number>> | undefined
  /** Share of the target distribution that is uniform over the classes. */
  readonly smoothing: number
}

/** Memory and evaluation of a loss on the host. */
export interface HostEvaluation {
  /** Returns the memory of outputs for `positions` positions; the program writes to it. */
  readonly into: (positions: number) => Record<string, Float32Array>
  /** Evaluates the loss from all outputs; the derivatives by each, under its name, are valid until the next call. */
  readonly evaluate: (
    outputs: Readonly<Record<string, HostTensor>>,
    targets: ClassTargets
  ) => { readonly loss: number; readonly pulls: Record<string, HostTensor> }
}

/**
 * Loss over sampled items that the host evaluates: a program computes what the loss depends on, and another the gradient
 * from the derivatives by that.
 */
export interface HostLoss {
  readonly _tag: "Host"
  /** Computes what the loss depends on from states [M, D]. */
  readonly outputs: (shape: ItemShape, weights: Inputs, states: tf.Tensor) => Record<string, tf.Tensor>
  /** Returns the specifications of the derivatives by the outputs, over positions of `dimensions`. */
  readonly pulls: (shape: ItemShape, ...dimensions: ReadonlyArray<string>) => Record<string, TensorSpec>
  /** Makes an evaluation with memory of its own. */
  readonly evaluation: (shape: ItemShape, index: SidIndex) => HostEvaluation
}

/** Head that writes SIDs after the states of positions. */
export interface GeneratorHead {
  /** Name of its term of the loss. */
  readonly term: string
  /** Returns the names, shapes and initial values of its parameters; `normal` returns standard normal draws. */
  readonly parameters: (shape: ItemShape, normal: () => number) => ParameterSpecs
  /** Its own dropout; a head without reads the states that the item head reads. */
  readonly dropout: HeadDropout | undefined
  readonly loss: GraphLoss | HostLoss
}
