/**
 * Decoder of text with rows of their own for the SID tokens: the tokens of the folder have its embedding and output
 * matrix, SID tokens have theirs, so that either can be trained without a gradient of the other.
 */
import * as tf from "@tensorflow/tfjs"
import * as BlockedLogSumExp from "../../tensor/BlockedLogSumExp.ts"
import { type CodeNetwork, type Inputs, type Parameters } from "../flat/CodeNetwork.ts"
import * as Transformer from "../transformer/Transformer.ts"
import * as TextVocabulary from "./TextVocabulary.ts"

/** Name of the family. */
export const family = "text"

/** Returns the name of the rows of the SID tokens beside a matrix of the folder. */
export const sidName = (matrix: string): string => `sid.${matrix}`

/** Network of a text policy. */
export interface TextNetwork extends CodeNetwork {
  /** Computes the logits of given ids [M] for rows [M, D], returns [M]. */
  readonly chosen: (weights: Inputs, hidden: tf.Tensor, ids: tf.Tensor) => tf.Tensor
}

/** Builds the network over a vocabulary. */
export const make = (
  config: Transformer.DecoderConfig,
  vocabulary: TextVocabulary.TextVocabulary,
  parameters: Parameters
): TextNetwork => {
  const { codes, text } = TextVocabulary.biases(vocabulary, config.vocabulary)
  const head = Transformer.headName(config)
  /** Gathers rows of a matrix or, from id V on, of its SID tokens: ids [M] to [M, D]. */
  const rowsOf = (weights: Inputs, matrix: string, ids: tf.Tensor): tf.Tensor => {
    const isCode = ids.greaterEqual(tf.scalar(config.vocabulary, "int32"))
    const place = isCode.cast("int32")
    const own = tf.gather(weights[sidName(matrix)]!, ids.sub(tf.scalar(config.vocabulary, "int32")).mul(place))
    const others = tf.gather(weights[matrix]!, ids.mul(tf.scalar(1, "int32").sub(place)))
    const share = isCode.cast("float32").reshape([ids.shape[0]!, 1])
    return own.mul(share).add(others.mul(tf.scalar(1).sub(share)))
  }
  return {
    family,
    config,
    parameters,
    embed: (weights, tokens) => {
      const [batch, length] = tokens.shape as [number, number]
      return rowsOf(weights, Transformer.embeddingName, tokens.reshape([batch * length]))
        .reshape([batch, length, config.width])
    },
    codes: (weights) => weights[sidName(head)]!,
    logSums: (weights, hidden) =>
      BlockedLogSumExp.apply(hidden, [
        { rows: weights[head]!, bias: text },
        { rows: weights[sidName(head)]!, bias: codes }
      ]),
    chosen: (weights, hidden, ids) => hidden.mul(rowsOf(weights, head, ids)).sum(-1)
  }
}
