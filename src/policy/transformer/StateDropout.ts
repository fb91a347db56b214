/**
 * Dropout of a decoder's states, whose masks are inputs of its program.
 */
import type * as tf from "@tensorflow/tfjs"
import * as Dropout from "../../tensor/Dropout.ts"
import { type Dimension, float32, hostFloat32, type HostTensor, type TensorSpec } from "../../tensor/TensorProgram.ts"
import * as Transformer from "./Transformer.ts"

/** Returns the names of the masks: one after the embedding, two per block. */
export const names = (config: Transformer.DecoderConfig): ReadonlyArray<string> =>
  Array.from({ length: Transformer.dropoutSites(config) }, (_, site) => `dropout.${site}`)

/** Returns the inputs of a program over rows [B, T], none without dropout. */
export const inputs = (
  config: Transformer.DecoderConfig,
  dropping: boolean,
  ...rows: ReadonlyArray<Dimension>
): Record<string, TensorSpec> =>
  Object.fromEntries(dropping ? names(config).map((name) => [name, float32(...rows, config.width)]) : [])

/** Returns the masks among the inputs of a program, none without dropout. */
export const masks = (
  config: Transformer.DecoderConfig,
  dropping: boolean,
  inputs: Readonly<Record<string, tf.Tensor>>
): ReadonlyArray<tf.Tensor> => dropping ? names(config).map((name) => inputs[name]!) : []

/** Function that draws the feeds of part `part` of a step, for rows of shape [B, T]. */
export type Feeds = (
  rows: ReadonlyArray<number>,
  at: { readonly seed: number; readonly step: number; readonly part: number }
) => Record<string, HostTensor>

/** Makes the feeds of a dropout rate, in memory that every call uses again; none for rate 0. */
export const make = (config: Transformer.DecoderConfig, rate: number): Feeds => {
  if (rate === 0) return () => ({})
  const all = names(config)
  const dropout = Dropout.make(all.length)
  return (rows, { part, seed, step }) => {
    const size = rows.reduce((a, b) => a * b, config.width)
    const drawn = dropout.draw(seed + part * 0x1_0000, step, size, rate)
    return Object.fromEntries(drawn.map((mask, site) => [all[site]!, hostFloat32(mask, ...rows, config.width)]))
  }
}
