/**
 * The tensor programs of the flat policy: supervised step, prefill, extension, tree scores, group gradient.
 */
import * as tf from "@tensorflow/tfjs"
import { type GroupObjective } from "../../objective/Objective.ts"
import * as Attention from "../../tensor/Attention.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../../tensor/LinearCrossEntropy.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import * as Transformer from "../transformer/Transformer.ts"

const { bool, float32, int32 } = TensorProgram

type Inputs = Readonly<Record<string, tf.Tensor>>
type Program = TensorProgram.TensorProgram

/** Names and shapes of the parameters, in the order of the store. */
export type Parameters = ReadonlyArray<{ readonly name: string; readonly shape: ReadonlyArray<number> }>

const weightInputs = (parameters: Parameters): Record<string, TensorProgram.TensorSpec> =>
  Object.fromEntries(parameters.map((slot) => [slot.name, float32(...slot.shape)]))

const pick = (inputs: Inputs, names: ReadonlyArray<string>): Inputs =>
  Object.fromEntries(names.map((name) => [name, inputs[name]!]))

const names = (parameters: Parameters) => parameters.map((slot) => slot.name)

/** Builds the program that returns the loss of packed rows of `length` positions and its gradients. */
export const supervised = (
  config: Transformer.DecoderConfig,
  parameters: Parameters,
  length: number,
  dropout: boolean
): Program => {
  const sites = dropout ? Transformer.dropoutSites(config) : 0
  const masks = Array.from({ length: sites }, (_, site) => `dropout.${site}`)
  return TensorProgram.make({
    name: `flat.supervised${dropout ? ".dropout" : ""}`,
    inputs: {
      ...weightInputs(parameters),
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
      }, pick(inputs, names(parameters)))
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

/**
 * Builds the program that reads prompts [B, P], padded on the right, and returns the logits [B, V] after the last token
 * of each and the keys and values of all positions.
 */
export const prefill = (config: Transformer.DecoderConfig, parameters: Parameters): Program =>
  TensorProgram.make({
    name: "flat.prefill",
    inputs: {
      ...weightInputs(parameters),
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

/** Part of the key-value cache: the P positions of the prompts, or the N nodes scored after them. */
export type CachePart = "prompt" | "tree"

const parts: Readonly<Record<CachePart, { readonly number: number; readonly columns: string }>> = {
  prompt: { number: 0, columns: "P" },
  tree: { number: 1, columns: "N" }
}

/** Returns the names of keys and values: `from` as an output of a program, `to` as an input of a part of the cache. */
export const cacheNames = (
  config: Transformer.DecoderConfig,
  part: CachePart
): ReadonlyArray<{ readonly from: string; readonly to: string }> =>
  Array.from({ length: config.layers }, (_, layer) => layer).flatMap((layer) =>
    (["key", "value"] as const).map((kind) => ({
      from: cacheName(kind, 0, layer),
      to: cacheName(kind, parts[part].number, layer)
    }))
  )

const cacheInputs = (config: Transformer.DecoderConfig, part: CachePart): Record<string, TensorProgram.TensorSpec> =>
  Object.fromEntries(
    cacheNames(config, part).map(({ to }) => [
      to,
      float32("B", config.keyValueHeads, parts[part].columns, config.headWidth)
    ])
  )

/**
 * Builds the program that scores W nodes per prompt and returns logits [B x W, V]. The nodes attend to the cache of the
 * prompt and, when `tree` is set, of the nodes scored before.
 */
export const extend = (config: Transformer.DecoderConfig, parameters: Parameters, tree: boolean): Program => {
  const before: ReadonlyArray<CachePart> = tree ? ["prompt", "tree"] : ["prompt"]
  return TensorProgram.make({
    name: tree ? "flat.extend" : "flat.extendPrompt",
    inputs: {
      ...weightInputs(parameters),
      tokens: int32("B", "W"),
      positions: int32("B", "W"),
      ...Object.assign({}, ...before.map((part) => cacheInputs(config, part))),
      mask: float32("B", 1, "W", [...before.map((part) => parts[part].columns), "W"].join("+"))
    },
    body: (inputs: Inputs) => {
      const { cache, hidden } = Transformer.forward(config, inputs, {
        tokens: inputs["tokens"]!,
        positions: inputs["positions"]!,
        mask: inputs["mask"]!,
        cache: Array.from({ length: config.layers }, (_, layer) =>
          before.map((part) => ({
            key: inputs[cacheName("key", parts[part].number, layer)]!,
            value: inputs[cacheName("value", parts[part].number, layer)]!
          })))
      })
      const head = inputs[Transformer.headName(config)] as tf.Tensor2D
      return { logits: tf.matMul(hidden as tf.Tensor2D, head, false, true), ...cacheOutputs(cache) }
    }
  })
}

/** Builds the program that appends the nodes scored last to the tree part of the cache. */
export const grow = (config: Transformer.DecoderConfig): Program =>
  TensorProgram.make({
    name: "flat.grow",
    inputs: {
      ...cacheInputs(config, "tree"),
      ...Object.fromEntries(
        cacheNames(config, "tree").map(({ from }) => [
          from,
          float32("B", config.keyValueHeads, "W", config.headWidth)
        ])
      )
    },
    body: (inputs: Inputs) =>
      Object.fromEntries(
        cacheNames(config, "tree").map(({ from, to }) => [from, tf.concat([inputs[to]!, inputs[from]!], 2)])
      )
  })

const treeInputs = (config: Transformer.DecoderConfig, parameters: Parameters) => ({
  ...weightInputs(parameters),
  tokens: int32("B", "T"),
  positions: int32("B", "T"),
  mask: float32("B", 1, "T", "T"),
  predictors: int32("R"),
  legal: bool("R", config.vocabulary),
  /** Flat indices of the edges of each node into the [R, V] table of the predictors. */
  edges: int32("R", "K")
})

/** Returns the log-probabilities of all tokens after each inner node, flat [R x V]. */
const nodeLogProbs = (config: Transformer.DecoderConfig, weights: Inputs, inputs: Inputs): tf.Tensor => {
  const { hidden } = Transformer.forward(config, weights, {
    tokens: inputs["tokens"]!,
    positions: inputs["positions"]!,
    mask: inputs["mask"]!
  })
  const predicting = tf.gather(hidden, inputs["predictors"]!) as tf.Tensor2D
  const logits = tf.matMul(predicting, weights[Transformer.headName(config)] as tf.Tensor2D, false, true)
  return tf.logSoftmax(LinearCrossEntropy.legalLogits(logits, inputs["legal"]!)).reshape([-1])
}

const gather = (table: tf.Tensor, indices: tf.Tensor): tf.Tensor =>
  tf.gather(table, indices.reshape([-1])).reshape(indices.shape)

/** Builds the program that returns the log-probabilities of the edges of candidate trees, [R, K]. */
export const treeScores = (config: Transformer.DecoderConfig, parameters: Parameters): Program =>
  TensorProgram.make({
    name: "flat.treeScores",
    inputs: treeInputs(config, parameters),
    body: (inputs: Inputs) => ({ logProbs: gather(nodeLogProbs(config, inputs, inputs), inputs["edges"]!) })
  })

/** Returns the input name of an objective's scalar. */
export const scalarName = (name: string) => `scalar.${name}`

const terms = "term."

/** Returns the terms of an objective from the outputs of its program. */
export const termsOf = <A>(outputs: Readonly<Record<string, A>>): ReadonlyArray<readonly [name: string, term: A]> =>
  Object.entries(outputs).flatMap(([key, output]) =>
    key.startsWith(terms) ? [[key.slice(terms.length), output] as const] : []
  )

/** Builds the program that returns the loss of an objective over candidates, its terms and its gradients. */
export const groupGradient = (
  config: Transformer.DecoderConfig,
  parameters: Parameters,
  objective: GroupObjective
): Program => {
  const scalars = Object.keys(objective.scalars)
  return TensorProgram.make({
    name: `flat.${objective.name}`,
    inputs: {
      ...treeInputs(config, parameters),
      /** Flat index of each step's edge into [R, V]. */
      steps: int32("C", "L"),
      stepMask: float32("C", "L"),
      behaviour: float32("C", "L"),
      reference: float32("C", "L"),
      advantages: float32("C"),
      group: int32("C"),
      nodeReference: float32("R", "K"),
      edgeMask: float32("R", "K"),
      visits: float32("R"),
      ...Object.fromEntries(scalars.map((name) => [scalarName(name), float32()]))
    },
    body: (inputs: Inputs) => {
      const { auxiliary, gradients, value } = Autodiff.withAuxiliary((weights) => {
        const table = nodeLogProbs(config, weights, inputs)
        const computed = objective.loss({
          logProbs: gather(table, inputs["steps"]!).mul(inputs["stepMask"]!),
          behaviour: inputs["behaviour"]!,
          reference: inputs["reference"]!,
          mask: inputs["stepMask"]!,
          advantages: inputs["advantages"]!,
          group: inputs["group"]!,
          nodes: {
            logProbs: gather(table, inputs["edges"]!).mul(inputs["edgeMask"]!),
            reference: inputs["nodeReference"]!,
            legal: inputs["edgeMask"]!,
            visits: inputs["visits"]!
          }
        }, Object.fromEntries(scalars.map((name) => [name, inputs[scalarName(name)]!])))
        return {
          loss: computed.loss,
          auxiliary: Object.fromEntries(Object.entries(computed.terms).map(([name, term]) => [`${terms}${name}`, term]))
        }
      }, pick(inputs, names(parameters)))
      return { loss: value, ...auxiliary, ...gradients }
    }
  })
}
