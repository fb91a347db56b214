/**
 * Decoder with one position per code, as its programs see it: how token ids become states, and which matrix has the rows
 * of the codes.
 *
 * The rows of the codes are those of a compact vocabulary, whatever else the decoder reads and writes.
 */
import * as tf from "@tensorflow/tfjs"
import * as Transformer from "../transformer/Transformer.ts"
import type * as CompactVocabulary from "./CompactVocabulary.ts"

/** Names, shapes and types of the parameters; those with `trainable` have a gradient. */
export type Parameters = ReadonlyArray<{
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly trainable: boolean
  /** Type in which the parameter is stored. @default float32 */
  readonly storage?: "float32" | "bfloat16" | undefined
}>

/** Tensors by name. */
export type Inputs = Readonly<Record<string, tf.Tensor>>

/** Decoder with one position per code. */
export interface CodeNetwork {
  /** First part of the names of its programs. */
  readonly family: string
  readonly config: Transformer.DecoderConfig
  readonly parameters: Parameters
  /** Returns the input of the transformer for token ids [B, T]: the ids, or states [B, T, D]. */
  readonly embed: (weights: Inputs, tokens: tf.Tensor) => tf.Tensor
  /** Returns the output matrix of the codes, [R, D], with the rows of the compact vocabulary. */
  readonly codes: (weights: Inputs) => tf.Tensor
  /** Computes the log-sum-exp of the logits of the whole vocabulary for rows [M, D]; returns [M]. */
  readonly logSums: (weights: Inputs, hidden: tf.Tensor) => tf.Tensor
}

/** Returns the decoder over a compact vocabulary alone, whose tokens are rows of its embedding. */
export const compact = (
  family: string,
  config: Transformer.DecoderConfig,
  { offsets, size, sizes }: CompactVocabulary.CompactVocabulary,
  parameters: Parameters
): CodeNetwork => {
  const codes = (weights: Inputs) => weights[Transformer.headName(config)]!
  return {
    family,
    config,
    parameters,
    embed: (_, tokens) => tokens,
    codes,
    // Level by level.
    logSums: (weights, hidden) => {
      const width = hidden.shape[1]!
      const starts = [0, ...offsets, offsets.at(-1)! + sizes.at(-1)!]
      const parts = starts.flatMap((start, i) => {
        const rows = (starts[i + 1] ?? size) - start
        if (rows === 0) return []
        const block = tf.slice(codes(weights), [start, 0], [rows, width])
        return [tf.logSumExp(tf.matMul(hidden as tf.Tensor2D, block as tf.Tensor2D, false, true), -1)]
      })
      return tf.logSumExp(tf.stack(parts), 0)
    }
  }
}
