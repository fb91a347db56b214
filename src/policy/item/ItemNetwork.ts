/**
 * Network of policies with one position per item: a transformer over item states, and a head that scores items.
 *
 * The state of an item is the sum of an embedding of its own, the mean of the embeddings of its codes times the root of
 * their number, a projection of its content, the embedding from which its SID was made, and optionally vectors of the
 * times of its event (`EventTimes`); a class of the item head
 * is such a sum with a projection of its own (Singh et al. 2024 show that SIDs alone lose what ids remember).
 */
import * as tf from "@tensorflow/tfjs"
import { fill } from "@tensorflow/tfjs"
import { type Matrix } from "../../matrix/Matrix.ts"
import { type SidIndex } from "../../sid/SidIndex.ts"
import * as Attention from "../../tensor/Attention.ts"
import * as LinearCrossEntropy from "../../tensor/LinearCrossEntropy.ts"
import { type ParameterSpec, type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import { float32, hostFloat32, hostInt32, type HostTensor, int32, type TensorSpec } from "../../tensor/TensorProgram.ts"
import * as CompactVocabulary from "../flat/CompactVocabulary.ts"
import * as Transformer from "../transformer/Transformer.ts"
import * as CodeVectors from "./CodeVectors.ts"
import * as EventTimes from "./EventTimes.ts"
import * as Repeats from "./Repeats.ts"

/** Shape of the network over a catalogue of N items. */
export interface ItemShape {
  readonly config: Transformer.DecoderConfig
  readonly vocabulary: CompactVocabulary.CompactVocabulary
  /** Number of items, N; item number N stands for the beginning of a sequence. */
  readonly items: number
  /** Number of codes of the longest SID, L. */
  readonly levels: number
  /** Components of an item's content, C. */
  readonly contentWidth: number
  /** Times of events that positions read. */
  readonly time: EventTimes.TimeInputs
  /** Whether the items of the history have an addition to their scores. */
  readonly repeats: boolean
}

/** Tensors by name. */
export type Inputs = Readonly<Record<string, tf.Tensor>>

/** Names of the network's own parameters, besides those of the transformer. */
export const names = {
  id: "item.embedding.weight",
  content: "item.content.weight",
  headContent: "item.head.content.weight",
  query: "item.head.query.weight",
  queryBias: "item.head.query.bias",
  bias: "item.head.bias",
  repeats: "item.head.repeats"
} as const

/** Returns the specification of a matrix or vector of normal draws with a standard deviation. */
export const drawn = (shape: ReadonlyArray<number>, deviation: number, normal: () => number): ParameterSpec => ({
  shape,
  initialize: (values) => {
    for (let i = 0; i < values.length; i++) values[i] = normal() * deviation
  }
})

/** Returns the specification of a parameter that begins at 0. */
export const zeros = (...shape: ReadonlyArray<number>): ParameterSpec => ({ shape, initialize: () => {} })

/** Returns the names, shapes and initial values of the parameters; `normal` returns standard normal draws. */
export const parameters = (
  { config, contentWidth, items, repeats, time }: ItemShape,
  normal: () => number
): ParameterSpecs => ({
  ...Transformer.parameters(config, normal),
  [names.id]: drawn([items + 1, config.width], 0.05, normal),
  [names.content]: drawn([config.width, contentWidth], 0.05, normal),
  [names.headContent]: drawn([config.width, contentWidth], 0.05, normal),
  [names.query]: drawn([config.width, config.width], 0.02, normal),
  [names.queryBias]: zeros(config.width),
  [names.bias]: zeros(items),
  ...(repeats ? { [names.repeats]: zeros(1) } : {}),
  ...EventTimes.parameters(time, config.width)
})

/** Returns the inputs that describe the catalogue: the codes' tokens and the content of every item, N + 1 rows. */
export const catalogueInputs = ({ contentWidth, items, levels }: ItemShape): Record<string, TensorSpec> => ({
  "catalogue.codes": int32(items + 1, levels),
  "catalogue.content": float32(items + 1, contentWidth)
})

/**
 * Returns the feeds that describe the catalogue. Content rows are scaled to a root mean square of 1/4, whatever the
 * scale of the embedding; a SID shorter than L codes is padded with the end token.
 */
export const catalogueFeeds = (shape: ItemShape, index: SidIndex, content: Matrix): Record<string, HostTensor> => {
  const { contentWidth, items, levels, vocabulary } = shape
  const codes = new Int32Array((items + 1) * levels).fill(CompactVocabulary.end)
  for (const [item, sid] of index.sids.entries()) {
    for (const [level, code] of sid.entries()) {
      codes[item * levels + level] = CompactVocabulary.token(vocabulary, level, code)
    }
  }
  let squares = 0
  for (const value of content.data) squares += value * value
  const scale = 0.25 / Math.sqrt(Math.max(squares / Math.max(1, content.data.length), 1e-30))
  const scaled = new Float32Array((items + 1) * contentWidth)
  for (let i = 0; i < content.data.length; i++) scaled[i] = content.data[i]! * scale
  return {
    "catalogue.codes": hostInt32(codes, items + 1, levels),
    "catalogue.content": hostFloat32(scaled, items + 1, contentWidth)
  }
}

/** Returns the inputs of the positions of packed rows. */
export const rowInputs = ({ time }: ItemShape, length: number | string): Record<string, TensorSpec> => ({
  items: int32("B", length),
  positions: int32("B", length),
  segments: int32("B", length),
  ...EventTimes.inputs(time, length)
})

/** Gathers the tokens of the codes of items [M], [M, L]. */
export const tokensOf = (inputs: Inputs, items: tf.Tensor): tf.Tensor => tf.gather(inputs["catalogue.codes"]!, items)

/** Computes the sum of the code embeddings of items [M] over the root of L, [M, D]. */
const codeSum = ({ levels, vocabulary }: ItemShape, weights: Inputs, inputs: Inputs, items: tf.Tensor): tf.Tensor =>
  CodeVectors.sum(vocabulary, weights[Transformer.embeddingName]!, tokensOf(inputs, items)).mul(1 / Math.sqrt(levels))

/** Computes the vectors of items [M] from a projection of their content, [M, D]. */
const vectors = (
  shape: ItemShape,
  weights: Inputs,
  inputs: Inputs,
  items: tf.Tensor,
  projection: string
): tf.Tensor => {
  const content = tf.gather(inputs["catalogue.content"]!, items) as tf.Tensor2D
  return tf.gather(weights[names.id]!, items)
    .add(codeSum(shape, weights, inputs, items))
    .add(tf.matMul(content, weights[projection]! as tf.Tensor2D, false, true))
}

/** Computes the final states of packed rows, [B x T, D], with the dropout masks of the transformer. */
export const states = (
  shape: ItemShape,
  weights: Inputs,
  inputs: Inputs,
  masks: Pick<Transformer.DecoderInput, "dropout" | "attentionDropout"> = {}
): tf.Tensor => {
  const [rows, length] = inputs["items"]!.shape as [number, number]
  const items = vectors(shape, weights, inputs, inputs["items"]!.reshape([rows * length]), names.content)
  const embedded = EventTimes.add(shape.time, weights, inputs, items)
  return Transformer.forward(shape.config, weights, {
    tokens: embedded.reshape([rows, length, shape.config.width]),
    positions: inputs["positions"]!,
    mask: Attention.packedMask(inputs["segments"]!, inputs["positions"]!),
    ...masks
  }).hidden
}

/** Appends a column of ones to rows [M, D], [M, D + 1], for classes that end with their bias. */
const withOne = (rows: tf.Tensor): tf.Tensor => tf.concat([rows, fill([rows.shape[0]!, 1], 1)], 1)

/** Appends a column [S] to classes [S, D]. */
const withColumn = (classes: tf.Tensor, column: tf.Tensor): tf.Tensor =>
  tf.concat([classes, column.reshape([classes.shape[0]!, 1])], 1)

/** Computes the queries of the item head for states [M, D]. */
const queries = (weights: Inputs, hidden: tf.Tensor): tf.Tensor =>
  tf.matMul(hidden as tf.Tensor2D, weights[names.query]! as tf.Tensor2D, false, true).add(weights[names.queryBias]!)

/** Computes the logits of the items [S] after states [M, D], [M, S]. */
export const itemLogits = (
  shape: ItemShape,
  weights: Inputs,
  inputs: Inputs,
  hidden: tf.Tensor,
  items: tf.Tensor
): tf.Tensor =>
  tf.matMul(
    queries(weights, hidden),
    vectors(shape, weights, inputs, items, names.headContent),
    false,
    true
  ).add(tf.gather(weights[names.bias]!, items))

/** Returns the inputs of a cross-entropy over sampled items, for the positions of rows and S classes. */
export const classInputs = ({ repeats }: ItemShape): Record<string, TensorSpec> => ({
  /** Items of the classes, [S]. */
  classes: int32("S"),
  /** Addition to the logit of each class that corrects for sampling, [S]. */
  corrections: float32("S"),
  /** Class of each position's target, [B, T]. */
  labels: int32("B", "T"),
  /** Weight of each position's loss, [B, T]; 0 at padding. */
  weights: float32("B", "T"),
  ...(repeats ? Repeats.inputs : {})
})

/** Computes the weighted cross-entropy of the item head over the classes of `classInputs`. */
export const itemLoss = (
  shape: ItemShape,
  weights: Inputs,
  inputs: Inputs,
  hidden: tf.Tensor,
  smoothing: number
): tf.Tensor => {
  const classes = inputs["classes"]!
  const rows = hidden.shape[0]!
  return LinearCrossEntropy.loss(
    withOne(queries(weights, hidden)),
    withColumn(
      vectors(shape, weights, inputs, classes, names.headContent),
      tf.gather(weights[names.bias]!, classes).add(inputs["corrections"]!)
    ),
    {
      targets: inputs["labels"]!.reshape([rows]),
      weights: inputs["weights"]!.reshape([rows]),
      smoothing,
      ...(shape.repeats
        ? { addition: { marks: inputs["repeats"]!, by: Repeats.addition(weights[names.repeats]!) } }
        : {})
    }
  )
}
