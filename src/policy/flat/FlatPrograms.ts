/**
 * Tensor programs of decoders with one position per code: prefill, extension, tree scores, group gradient, and the
 * supervised step of the flat policy.
 */
import * as tf from "@tensorflow/tfjs"
import { type GroupObjective } from "../../objective/Objective.ts"
import * as Attention from "../../tensor/Attention.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../../tensor/LinearCrossEntropy.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import { type OpenOptions } from "../PolicyModel.ts"
import * as StateDropout from "../transformer/StateDropout.ts"
import * as Transformer from "../transformer/Transformer.ts"
import * as CandidateObjective from "../tree/CandidateObjective.ts"
import { type CodeNetwork, type Inputs, type Parameters } from "./CodeNetwork.ts"
import type * as CompactVocabulary from "./CompactVocabulary.ts"
import * as LevelHead from "./LevelHead.ts"

const { bool, float32, int32 } = TensorProgram

type Program = TensorProgram.TensorProgram

type Vocabulary = CompactVocabulary.CompactVocabulary

/** Returns the inputs of a program for parameters. */
export const weightInputs = (parameters: Parameters): Record<string, TensorProgram.TensorSpec> =>
  Object.fromEntries(parameters.map(({ name, shape, storage = "float32" }) => [name, { dtype: storage, shape }]))

/** Returns the parameters that have a gradient. */
export const trained = (parameters: Parameters, inputs: Inputs): Inputs =>
  Object.fromEntries(parameters.flatMap(({ name, trainable }) => trainable ? [[name, inputs[name]!]] : []))

/**
 * Builds the program that returns the loss of packed rows of `length` positions, with label smoothing, and its gradients.
 */
export const supervised = (
  config: Transformer.DecoderConfig,
  vocabulary: Vocabulary,
  parameters: Parameters,
  { dropout, length, smoothing }: {
    readonly length: number
    readonly dropout: boolean
    readonly smoothing: number
  }
): Program => {
  return TensorProgram.make({
    name: `flat.supervised${dropout ? ".dropout" : ""}`,
    inputs: {
      ...weightInputs(parameters),
      tokens: int32("B", length),
      positions: int32("B", length),
      segments: int32("B", length),
      ...LevelHead.inputs(vocabulary, "B", length),
      /** Column of each row's target among those of its level. */
      targets: int32("N", "W"),
      weights: float32("N", "W"),
      legal: bool("N", "W", LevelHead.columns(vocabulary)),
      ...StateDropout.inputs(config, dropout, "B", length)
    },
    body: (inputs: Inputs) => {
      const { gradients, value } = Autodiff.valueAndGradients((own) => {
        const weights = { ...inputs, ...own }
        const { hidden } = Transformer.forward(config, weights, {
          tokens: inputs["tokens"]!,
          positions: inputs["positions"]!,
          mask: Attention.packedMask(inputs["segments"]!, inputs["positions"]!, config.slidingWindow),
          causalBlocks: Transformer.causalBlocks(length),
          dropout: StateDropout.masks(config, dropout, inputs)
        })
        const { classes, rows } = LevelHead.operands(
          vocabulary,
          hidden,
          weights[Transformer.headName(config)]!,
          inputs
        )
        return LinearCrossEntropy.loss(rows, classes, {
          targets: inputs["targets"]!,
          weights: inputs["weights"]!,
          legal: inputs["legal"]!,
          smoothing
        })
      }, trained(parameters, inputs))
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
 * Computes the logits of each row's level and, if probabilities are normalised over the vocabulary, their log-sum-exps.
 */
const scores = (
  network: CodeNetwork,
  vocabulary: Vocabulary,
  normaliser: OpenOptions["normaliser"],
  hidden: tf.Tensor,
  inputs: Inputs
): Record<string, tf.Tensor> => ({
  logits: LevelHead.logits(vocabulary, hidden, network.codes(inputs), inputs),
  ...(normaliser === "vocabulary" ? { logSums: network.logSums(inputs, hidden) } : {})
})

/**
 * Builds the program over prompts padded on the right that returns the logits after the last token of each, and the
 * keys and values of all positions.
 */
export const prefill = (
  network: CodeNetwork,
  vocabulary: Vocabulary,
  normaliser: OpenOptions["normaliser"]
): Program =>
  TensorProgram.make({
    name: `${network.family}.prefill.${normaliser}`,
    inputs: {
      ...weightInputs(network.parameters),
      tokens: int32("B", "P"),
      positions: int32("B", "P"),
      segments: int32("B", "P"),
      last: int32("B"),
      ...LevelHead.inputs(vocabulary, "B")
    },
    body: (inputs: Inputs) => {
      const { cache, hidden } = Transformer.forward(network.config, inputs, {
        tokens: network.embed(inputs, inputs["tokens"]!),
        positions: inputs["positions"]!,
        mask: Attention.packedMask(inputs["segments"]!, inputs["positions"]!, network.config.slidingWindow)
      })
      const final = tf.gather(hidden, inputs["last"]!)
      return { ...scores(network, vocabulary, normaliser, final, inputs), ...cacheOutputs(cache) }
    }
  })

/** Part of the cache: the positions of the prompts [P], or the nodes scored after them [S]. */
export type CachePart = "prompt" | "tree"

const parts: Readonly<Record<CachePart, { readonly number: number; readonly columns: string }>> = {
  prompt: { number: 0, columns: "P" },
  tree: { number: 1, columns: "S" }
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
 * Builds the program that returns the logits after E nodes per prompt, which follow the prompt and, if `tree` is set,
 * the nodes scored before.
 */
export const extend = (
  network: CodeNetwork,
  vocabulary: Vocabulary,
  tree: boolean,
  normaliser: OpenOptions["normaliser"]
): Program => {
  const { config } = network
  const before: ReadonlyArray<CachePart> = tree ? ["prompt", "tree"] : ["prompt"]
  return TensorProgram.make({
    name: `${network.family}.extend${tree ? "" : "Prompt"}.${normaliser}`,
    inputs: {
      ...weightInputs(network.parameters),
      tokens: int32("B", "E"),
      positions: int32("B", "E"),
      ...LevelHead.inputs(vocabulary, "B", "E"),
      ...Object.assign({}, ...before.map((part) => cacheInputs(config, part))),
      mask: float32("B", 1, "E", [...before.map((part) => parts[part].columns), "E"].join("+"))
    },
    body: (inputs: Inputs) => {
      const { cache, hidden } = Transformer.forward(network.config, inputs, {
        tokens: network.embed(inputs, inputs["tokens"]!),
        positions: inputs["positions"]!,
        mask: inputs["mask"]!,
        cache: Array.from({ length: config.layers }, (_, layer) =>
          before.map((part) => ({
            key: inputs[cacheName("key", parts[part].number, layer)]!,
            value: inputs[cacheName("value", parts[part].number, layer)]!
          })))
      })
      return { ...scores(network, vocabulary, normaliser, hidden, inputs), ...cacheOutputs(cache) }
    }
  })
}

/** Builds the program that appends the nodes scored last to the tree part of the cache. */
export const grow = ({ config, family }: CodeNetwork): Program =>
  TensorProgram.make({
    name: `${family}.grow`,
    inputs: {
      ...cacheInputs(config, "tree"),
      ...Object.fromEntries(
        cacheNames(config, "tree").map(({ from }) => [
          from,
          float32("B", config.keyValueHeads, "E", config.headWidth)
        ])
      )
    },
    body: (inputs: Inputs) =>
      Object.fromEntries(
        cacheNames(config, "tree").map(({ from, to }) => [from, tf.concat([inputs[to]!, inputs[from]!], 2)])
      )
  })

const treeInputs = (network: CodeNetwork, vocabulary: Vocabulary) => ({
  ...weightInputs(network.parameters),
  tokens: int32("B", "T"),
  positions: int32("B", "T"),
  mask: float32("B", 1, "T", "T"),
  ...LevelHead.inputs(vocabulary, "B", "T"),
  legal: bool("N", "W", LevelHead.columns(vocabulary))
})

/** Computes the log-probabilities of the columns of all tiles, flattened. */
const nodeLogProbs = (
  network: CodeNetwork,
  vocabulary: Vocabulary,
  weights: Inputs,
  inputs: Inputs
): tf.Tensor => {
  const { hidden } = Transformer.forward(network.config, weights, {
    tokens: network.embed(weights, inputs["tokens"]!),
    positions: inputs["positions"]!,
    mask: inputs["mask"]!
  })
  const logits = LevelHead.logits(vocabulary, hidden, network.codes(weights), inputs)
  return tf.logSoftmax(LinearCrossEntropy.legalLogits(logits, inputs["legal"]!)).reshape([-1])
}

/** Builds the program that returns the log-probabilities of the edges of candidate trees, [R, K]. */
export const treeScores = (network: CodeNetwork, vocabulary: Vocabulary): Program =>
  TensorProgram.make({
    name: `${network.family}.treeScores`,
    inputs: { ...treeInputs(network, vocabulary), edges: CandidateObjective.edgesInput },
    body: (inputs: Inputs) => ({
      logProbs: CandidateObjective.gather(nodeLogProbs(network, vocabulary, inputs, inputs), inputs["edges"]!)
    })
  })

/** Builds the program that returns the loss of an objective over candidates, its terms and its gradients. */
export const groupGradient = (
  network: CodeNetwork,
  vocabulary: Vocabulary,
  objective: GroupObjective
): Program =>
  TensorProgram.make({
    name: `${network.family}.${objective.name}`,
    inputs: { ...treeInputs(network, vocabulary), ...CandidateObjective.inputs(objective) },
    body: (inputs: Inputs) => {
      const { auxiliary, gradients, value } = Autodiff.withAuxiliary(
        (own) =>
          CandidateObjective.evaluate(
            objective,
            nodeLogProbs(network, vocabulary, { ...inputs, ...own }, inputs),
            inputs
          ),
        trained(network.parameters, inputs)
      )
      return { loss: value, ...auxiliary, ...gradients }
    }
  })
