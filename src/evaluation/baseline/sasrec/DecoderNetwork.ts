/**
 * SASRec on the decoder of today's language models: RMSNorm before every part, rotary positions, gated feed-forward layers.
 *
 * One table of items is read at the input and compared with at the output, after a linear map of the state. Differs from
 * the paper (Kang and McAuley 2018) in all of this but the table; a position sees the items up to its own, as there.
 */
import * as tf from "@tensorflow/tfjs"
import * as Schema from "effect/Schema"
import * as Transformer from "../../../policy/transformer/Transformer.ts"
import * as SasRecNetwork from "./SasRecNetwork.ts"

/** Shape of the network. */
export interface DecoderShape {
  readonly items: number
  readonly width: number
  readonly layers: number
  readonly heads: number
  readonly feedForward: number
  /** Most positions of a history. */
  readonly window: number
}

/** The map between a state and the table: without it a state is near the item that was read last. */
const outputName = "output.weight"

/** Makes the network; `normal` draws what it begins with. */
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
