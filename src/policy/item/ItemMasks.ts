/**
 * Dropout masks of policies with one position per item, which are inputs of the program of supervised training.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Dropout from "../../tensor/Dropout.ts"
import { float32, hostFloat32, type HostTensor, type TensorSpec } from "../../tensor/TensorProgram.ts"
import * as StateDropout from "../transformer/StateDropout.ts"
import type * as Transformer from "../transformer/Transformer.ts"
import { type ItemModel } from "./ItemModel.ts"
import { type Inputs } from "./ItemNetwork.ts"

/** Masks of a program. */
export interface Masks {
  /** Masks of the transformer. */
  readonly transformer: Required<Pick<Transformer.DecoderInput, "dropout" | "attentionDropout">>
  /** Mask of the states that the item head reads, and the generator unless it has a mask of its own, [B, T, D]. */
  readonly head: tf.Tensor
  /** Mask of the generator. */
  readonly generator: tf.Tensor | undefined
}

const headName = "dropout.head"
const generatorName = "dropout.generator"

const attentionNames = ({ settings: { dropout }, shape: { config } }: ItemModel): ReadonlyArray<string> =>
  Array.from({ length: dropout.attention > 0 ? config.layers : 0 }, (_, layer) => `dropout.attention.${layer}`)

/** Returns whether any rate is above 0. */
export const present = ({ head, settings: { dropout: rates } }: ItemModel): boolean =>
  Math.max(rates.input, rates.attention, rates.residual, rates.head, head.dropout?.rate(rates) ?? 0) > 0

/** Returns the inputs of a program over B rows of T positions. */
export const inputs = (model: ItemModel): Record<string, TensorSpec> => {
  const { head, shape } = model
  const { heads, width } = shape.config
  return {
    ...StateDropout.inputs(shape.config, true, "B", "T"),
    ...Object.fromEntries(attentionNames(model).map((name) => [name, float32("B", heads, "T", "T")])),
    [headName]: float32("B", "T", width),
    ...(head.dropout === undefined ? {} : { [generatorName]: float32(...head.dropout.dimensions(shape)) })
  }
}

/** Returns the masks among the inputs of a program. */
export const of = (model: ItemModel, inputs: Inputs): Masks => ({
  transformer: {
    dropout: StateDropout.masks(model.shape.config, true, inputs),
    attentionDropout: attentionNames(model).map((name) => inputs[name]!)
  },
  head: inputs[headName]!,
  generator: inputs[generatorName]
})

/** Makes the function that draws the masks of a batch, into memory that every call uses again. */
export const make = (model: ItemModel) => {
  const { head, settings: { dropout: rates }, shape } = model
  const { heads, width } = shape.config
  const sites = StateDropout.names(shape.config)
  const attention = attentionNames(model)
  const [first, others] = [Dropout.make(1), Dropout.make(sites.length - 1)]
  const [weights, heads_, generator] = [Dropout.make(attention.length), Dropout.make(1), Dropout.make(1)]
  return (rows: number, length: number, seed: number, step: number): Record<string, HostTensor> => {
    /** Kinds of sites draw from seeds of their own. */
    const draw = (dropout: Dropout.Dropout, kind: number, rate: number, dimensions: ReadonlyArray<number>) =>
      dropout.draw(seed + kind * 0x1000_0000, step, dimensions.reduce((a, b) => a * b, 1), rate)
        .map((mask) => hostFloat32(mask, ...dimensions))
    const states = [rows, length, width]
    const named = (names: ReadonlyArray<string>, masks: ReadonlyArray<HostTensor>) =>
      Object.fromEntries(masks.map((mask, site) => [names[site]!, mask]))
    return {
      ...named(sites, [...draw(first, 0, rates.input, states), ...draw(others, 1, rates.residual, states)]),
      ...named([headName], draw(heads_, 2, rates.head, states)),
      ...named(
        [generatorName],
        head.dropout === undefined
          ? []
          : draw(generator, 3, head.dropout.rate(rates), head.dropout.of(shape, rows, length))
      ),
      ...named(
        attention,
        attention.length === 0 ? [] : draw(weights, 4, rates.attention, [rows, heads, length, length])
      )
    }
  }
}
