/**
 * The tensor programs of the flat policy: supervised step, prefill, extension, tree scores, policy gradient.
 */
import * as tf from "@tensorflow/tfjs"
import * as Attention from "../../tensor/Attention.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../../tensor/LinearCrossEntropy.ts"
import { type ParameterBuffer } from "../../tensor/ParameterBuffer.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import * as Transformer from "../transformer/Transformer.ts"

const { bool, float32, int32 } = TensorProgram

type Inputs = Readonly<Record<string, tf.Tensor>>
type Program = TensorProgram.TensorProgram

const weightInputs = (buffer: ParameterBuffer): Record<string, TensorProgram.TensorSpec> =>
  Object.fromEntries(buffer.slots.map((slot) => [slot.name, float32(...slot.shape)]))

const pick = (inputs: Inputs, names: ReadonlyArray<string>): Inputs =>
  Object.fromEntries(names.map((name) => [name, inputs[name]!]))

const names = (buffer: ParameterBuffer) => buffer.slots.map((slot) => slot.name)

/** Loss of packed rows of `length` positions and its gradients; with dropout masks when `dropout` is set. */
export const supervised = (
  config: Transformer.DecoderConfig,
  buffer: ParameterBuffer,
  length: number,
  dropout: boolean
): Program => {
  const sites = dropout ? Transformer.dropoutSites(config) : 0
  const masks = Array.from({ length: sites }, (_, site) => `dropout.${site}`)
  return TensorProgram.make({
    name: `flat.supervised${dropout ? ".dropout" : ""}`,
    inputs: {
      ...weightInputs(buffer),
      tokens: int32("B", length),
      positions: int32("B", length),
      segments: int32("B", length),
      targets: int32("B", length),
      weights: float32("B", length),
      legal: bool("B", length, config.vocabulary),
      ...Object.fromEntries(masks.map((name) => [name, float32("B", length, config.width)]))
    },
    body: (inputs: Inputs) => {
      const { gradients, value } = Autodiff.valueAndGradients((weights) => {
        const { hidden } = Transformer.forward(config, weights, {
          tokens: inputs["tokens"]!,
          positions: inputs["positions"]!,
          mask: Attention.packedMask(inputs["segments"]!, inputs["positions"]!),
          causalBlocks: Transformer.causalBlocks(length),
          dropout: masks.map((name) => inputs[name]!)
        })
        const rows = hidden.shape[0]!
        return LinearCrossEntropy.loss(hidden, weights[Transformer.headName(config)]!, {
          targets: inputs["targets"]!.reshape([rows]),
          weights: inputs["weights"]!.reshape([rows]),
          legal: inputs["legal"]!.reshape([rows, config.vocabulary])
        })
      }, pick(inputs, names(buffer)))
      return { loss: value, ...gradients }
    }
  })
}

const cacheName = (kind: "key" | "value", part: number, layer: number) => `${kind}.${part}.${layer}`

const cacheOutputs = (cache: Transformer.DecoderOutput["cache"]): Record<string, tf.Tensor> =>
  Object.fromEntries(cache.flatMap(({ key, value }, layer) => [
    [cacheName("key", 0, layer), key],
    [cacheName("value", 0, layer), value]
  ]))

/** Prompts padded on the right: logits after the last token of each, and the keys and values of all positions. */
export const prefill = (config: Transformer.DecoderConfig, buffer: ParameterBuffer): Program =>
  TensorProgram.make({
    name: "flat.prefill",
    inputs: {
      ...weightInputs(buffer),
      tokens: int32("B", "P"),
      positions: int32("B", "P"),
      segments: int32("B", "P"),
      last: int32("B")
    },
    body: (inputs: Inputs) => {
      const { cache, hidden } = Transformer.forward(config, inputs, {
        tokens: inputs["tokens"]!,
        positions: inputs["positions"]!,
        mask: Attention.packedMask(inputs["segments"]!, inputs["positions"]!)
      })
      const final = tf.gather(hidden, inputs["last"]!) as tf.Tensor2D
      const head = inputs[Transformer.headName(config)] as tf.Tensor2D
      return { logits: tf.matMul(final, head, false, true), ...cacheOutputs(cache) }
    }
  })

/** Names of the cached parts of an extension: part 0 is the prompt, part i the i-th frontier. */
export const cacheNames = (
  config: Transformer.DecoderConfig,
  part: number
): ReadonlyArray<{ readonly from: string; readonly to: string }> =>
  Array.from({ length: config.layers }, (_, layer) => layer).flatMap((layer) =>
    (["key", "value"] as const).map((kind) => ({
      from: cacheName(kind, 0, layer),
      to: cacheName(kind, part, layer)
    }))
  )

/** A frontier of W positions per prompt after the prompt and `earlier` frontiers; logits [B x W, V]. */
export const extend = (config: Transformer.DecoderConfig, buffer: ParameterBuffer, earlier: number): Program => {
  const sizes = ["P", ...Array.from({ length: earlier }, (_, i) => `W${i + 1}`)]
  return TensorProgram.make({
    name: `flat.extend.${earlier}`,
    inputs: {
      ...weightInputs(buffer),
      tokens: int32("B", "W"),
      positions: int32("B", "W"),
      ...Object.fromEntries(sizes.flatMap((size, part) =>
        cacheNames(config, part).map(({ to }) => [
          to,
          float32("B", config.keyValueHeads, size, config.headWidth)
        ])
      )),
      mask: float32("B", 1, "W", [...sizes, "W"].join("+"))
    },
    body: (inputs: Inputs) => {
      const { cache, hidden } = Transformer.forward(config, inputs, {
        tokens: inputs["tokens"]!,
        positions: inputs["positions"]!,
        mask: inputs["mask"]!,
        cache: Array.from({ length: config.layers }, (_, layer) =>
          sizes.map((_, part) => ({
            key: inputs[cacheName("key", part, layer)]!,
            value: inputs[cacheName("value", part, layer)]!
          })))
      })
      const head = inputs[Transformer.headName(config)] as tf.Tensor2D
      return { logits: tf.matMul(hidden as tf.Tensor2D, head, false, true), ...cacheOutputs(cache) }
    }
  })
}

const treeInputs = (config: Transformer.DecoderConfig, buffer: ParameterBuffer) => ({
  ...weightInputs(buffer),
  tokens: int32("B", "T"),
  positions: int32("B", "T"),
  mask: float32("B", 1, "T", "T"),
  predictors: int32("R"),
  legal: bool("R", config.vocabulary),
  edges: int32("E")
})

/** Log-probability of every edge [E]; `edges` are flat indices into the [R, V] table of the predictors. */
const edgeLogProbs = (config: Transformer.DecoderConfig, weights: Inputs, inputs: Inputs): tf.Tensor => {
  const { hidden } = Transformer.forward(config, weights, {
    tokens: inputs["tokens"]!,
    positions: inputs["positions"]!,
    mask: inputs["mask"]!
  })
  const predicting = tf.gather(hidden, inputs["predictors"]!) as tf.Tensor2D
  const logits = tf.matMul(predicting, weights[Transformer.headName(config)] as tf.Tensor2D, false, true)
  const legal = LinearCrossEntropy.legalLogits(logits, inputs["legal"]!)
  return tf.gather(tf.logSoftmax(legal).reshape([-1]), inputs["edges"]!)
}

/** Log-probabilities of the edges of candidate trees. */
export const treeScores = (config: Transformer.DecoderConfig, buffer: ParameterBuffer): Program =>
  TensorProgram.make({
    name: "flat.treeScores",
    inputs: treeInputs(config, buffer),
    body: (inputs: Inputs) => ({ logProbs: edgeLogProbs(config, inputs, inputs) })
  })

/**
 * The GRPO loss over edges, `sum_e -gain_e exp(l_e - behaviour_e) + beta share_e (exp(r_e - l_e) - (r_e - l_e) - 1)`.
 *
 * `gain` is the sum of the normalised advantages of the candidates that take the edge, `share` the sum of their
 * normalisers, so the sum over edges equals the sum over candidates and codes.
 */
export const policyGradient = (config: Transformer.DecoderConfig, buffer: ParameterBuffer): Program =>
  TensorProgram.make({
    name: "flat.policyGradient",
    inputs: {
      ...treeInputs(config, buffer),
      gain: float32("E"),
      share: float32("E"),
      behaviour: float32("E"),
      reference: float32("E"),
      beta: float32()
    },
    body: (inputs: Inputs) => {
      const divergence = (logProbs: tf.Tensor) => {
        const gap = inputs["reference"]!.sub(logProbs)
        return gap.exp().sub(gap).sub(tf.scalar(1)).mul(inputs["share"]!).sum()
      }
      const { gradients, value } = Autodiff.valueAndGradients((weights) => {
        const logProbs = edgeLogProbs(config, weights, inputs)
        const surrogate = logProbs.sub(inputs["behaviour"]!).exp().mul(inputs["gain"]!).sum()
        return divergence(logProbs).mul(inputs["beta"]!).sub(surrogate)
      }, pick(inputs, names(buffer)))
      return { loss: value, kl: divergence(edgeLogProbs(config, pick(inputs, names(buffer)), inputs)), ...gradients }
    }
  })
