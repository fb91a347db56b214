/**
 * SASRec on a pre-norm transformer decoder: RMSNorm before every layer, rotary positions, gated feed-forward layers.
 *
 * Input and output share one table of item embeddings; a linear map stands between the last state and the table.
 * Differs from the paper (Kang and McAuley 2018) in all of these except the shared table. As in the paper, a position
 * attends to the items up to its own.
 */
import * as tf from "@tensorflow/tfjs"
import * as Schema from "effect/Schema"
import * as Transformer from "../../../policy/transformer/Transformer.ts"
import * as SasRecNetwork from "./SasRecNetwork.ts"

/** Shape of the network. */
export interface DecoderShape {
  /** Items of the catalogue, N. */
  readonly items: number
  /** Components of a state, D; a multiple of 2 x `heads`. */
  readonly width: number
  /** Transformer blocks. */
  readonly layers: number
  /** Attention heads. */
  readonly heads: number
  /** Components of the hidden layer of each feed-forward unit. */
  readonly feedForward: number
  /** Largest number of positions of a history. */
  readonly window: number
}

/**
 * Name of the linear map from the last state to the item table; without it a state is close to the last item's
 * embedding.
 */
const outputName = "output.weight"

/** Makes the network; `normal` draws the initial weights from the standard normal distribution. */
export const make = (shape: DecoderShape, normal: () => number): SasRecNetwork.Network => {
  const { feedForward, heads, items, layers, width, window } = shape
  const config = Schema.decodeSync(Transformer.DecoderConfig)({
    vocabulary: items,
    width,
    layers,
    heads,
    keyValueHeads: heads,
    headWidth: width / heads,
    feedForward,
    maxPositions: window
  })
  return {
    items,
    width,
    padding: 0,
    dropoutSites: Transformer.dropoutSites(config),
    parameters: {
      ...Transformer.parameters(config, normal),
      [outputName]: {
        shape: [width, width],
        initialize: (values) => {
          for (let i = 0; i < values.length; i++) values[i] = normal() / Math.sqrt(width)
        }
      }
    },
    states: (weights, input) =>
      Transformer.forward(config, weights, {
        tokens: input.tokens,
        positions: input.positions,
        mask: SasRecNetwork.mask(input),
        dropout: input.dropout
      }).hidden as tf.Tensor2D,
    readout: (weights, states) => ({
      states: tf.matMul(states, weights[outputName] as tf.Tensor2D, false, true),
      classes: weights[Transformer.headName(config)] as tf.Tensor2D
    })
  }
}
