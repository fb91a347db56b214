/**
 * SASRec on the decoder of today's language models: RMSNorm before every part, rotary positions, gated feed-forward layers.
 *
 * One table of items is read at the input and compared with at the output, after a linear map of the state, by cosine over
 * a temperature. Differs from the paper (Kang and McAuley 2018) in all of this; a position sees the items up to its own, as
 * there.
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
  /** What cosines are divided by. */
  readonly temperature: number
}

/** Scales rows [M, D] to length `1 / divisor`. */
const unit = (x: tf.Tensor, divisor: number): tf.Tensor2D =>
  x.mul(x.square().sum(-1, true).add(tf.scalar(1e-12)).rsqrt().mul(tf.scalar(1 / divisor)))

/** Without it a state resembles the item that it is of, and the model recommends what has just been seen. */
const outputName = "output.weight"

/** Makes the network; `normal` draws what it begins with. */
export const make = (shape: DecoderShape, normal: () => number): SasRecNetwork.Network => {
  const { feedForward, heads, items, layers, temperature, width, window } = shape
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
      states: unit(tf.matMul(states, weights[outputName] as tf.Tensor2D, false, true), temperature),
      classes: unit(weights[Transformer.headName(config)]!, 1)
    })
  }
}
