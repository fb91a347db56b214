/**
 * Head that writes the codes of an item after the state of a position: one small feed-forward unit for every level.
 *
 * The input of level l is the state plus a vector of its own for every earlier level and code; a SwiGLU unit and the
 * head's rows of the level follow, so that a node of the trie costs no attention. The softmax runs over the children
 * that exist, in training as in decoding.
 */
import * as tf from "@tensorflow/tfjs"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import * as LinearCrossEntropy from "../../tensor/LinearCrossEntropy.ts"
import { type ParameterSpecs } from "../../tensor/ParameterBuffer.ts"
import * as RmsNorm from "../../tensor/RmsNorm.ts"
import * as SwiGlu from "../../tensor/SwiGlu.ts"
import {
  bool,
  float32,
  hostBool,
  hostFloat32,
  hostInt32,
  type HostTensor,
  int32,
  type TensorSpec
} from "../../tensor/TensorProgram.ts"
import * as LevelHead from "../flat/LevelHead.ts"
import * as Transformer from "../transformer/Transformer.ts"
import { type GeneratorHead, type LossOptions, type Targets } from "./GeneratorHead.ts"
import { drawn, type Inputs, type ItemShape } from "./ItemNetwork.ts"

const prefix = "depth.prefix.weight"
const gate = "depth.gate_proj.weight"
const up = "depth.up_proj.weight"
const down = "depth.down_proj.weight"
const normBefore = "depth.input_norm.weight"
const normAfter = "depth.output_norm.weight"

/** Returns the largest number of codes before a level that is predicted, at least 1. */
const columnsOf = ({ levels }: ItemShape): number => Math.max(1, levels - 1)

/** Returns the first row of the vectors of code 0 at level `earlier`, as seen from level `level`. */
const base = ({ vocabulary: { sizes } }: ItemShape, level: number, earlier: number): number => {
  let row = 0
  for (let l = 1; l < level; l++) for (let j = 0; j < l; j++) row += sizes[j]!
  for (let j = 0; j < earlier; j++) row += sizes[j]!
  return row
}

/** Returns the names, shapes and initial values of the parameters; `normal` returns standard normal draws. */
export const parameters = (shape: ItemShape, normal: () => number): ParameterSpecs => {
  const { config: { feedForward, layers, width }, levels } = shape
  const gain = { shape: [width], initialize: (values: Float32Array) => void values.fill(1) }
  return {
    [prefix]: drawn([Math.max(1, base(shape, levels, 0)), width], 0.02, normal),
    [normBefore]: gain,
    [gate]: drawn([feedForward, width], 0.02, normal),
    [up]: drawn([feedForward, width], 0.02, normal),
    [down]: drawn([width, feedForward], 0.02 / Math.sqrt(2 * layers), normal),
    [normAfter]: gain
  }
}

/** Returns the inputs of the rows that predict a code: R rows, in tiles by level. */
export const inputs = (shape: ItemShape): Record<string, TensorSpec> => ({
  /** Row of the states that each row continues, [R]. */
  "depth.state": int32("R"),
  /** Rows of `prefix` of the codes before each row, [R, L - 1]. */
  "depth.path": int32("R", columnsOf(shape)),
  /** 1 for the codes of a row, 0 for padding, [R, L - 1]. */
  "depth.pathMask": float32("R", columnsOf(shape)),
  ...LevelHead.inputs(shape.vocabulary, "R")
})

/** Returns the input of `loss` and `logProbs` besides `inputs`: the columns that exist for each place of the tiles. */
export const legalInput = ({ vocabulary }: ItemShape): TensorSpec => bool("N", "W", LevelHead.columns(vocabulary))

/** Rows that predict the children of trie nodes. */
export interface DepthRows {
  /** Row of the states, [R]. */
  readonly states: Int32Array
  /** Trie node of each row, [R]; -1 for a row without a target. */
  readonly nodes: Int32Array
}

/**
 * Lays out rows as feeds. `spaceOf` returns the space of a row's node; `width` is the tile width, by default that with
 * the least work.
 */
export const layout = (
  shape: ItemShape,
  spaceOf: (row: number) => LeafSpace,
  { nodes, states }: DepthRows,
  width?: number
) => {
  const columns = columnsOf(shape)
  const path = new Int32Array(nodes.length * columns)
  const pathMask = new Float32Array(nodes.length * columns)
  const levels = new Int32Array(nodes.length).fill(-1)
  const bases = Array.from(
    { length: shape.levels },
    (_, level) => Array.from({ length: level }, (_, j) => base(shape, level, j))
  )
  for (const [r, node] of nodes.entries()) {
    if (node < 0) continue
    const space = spaceOf(r)
    const level = space.level(node)
    levels[r] = level
    for (let at = node, j = level - 1; j >= 0; j--, at = space.parent(at)) {
      path[r * columns + j] = bases[level]![j]! + space.code(at)
      pathMask[r * columns + j] = 1
    }
  }
  const tiles = LevelHead.tiles(levels, width)
  const feeds: Record<string, HostTensor> = {
    "depth.state": hostInt32(states, nodes.length),
    "depth.path": hostInt32(path, nodes.length, columns),
    "depth.pathMask": hostFloat32(pathMask, nodes.length, columns),
    ...LevelHead.feeds(shape.vocabulary, tiles, nodes.length)
  }
  return { tiles, feeds }
}

/** Computes the states of rows after their codes, [R, D]; `dropout` is a mask of the unit's output. */
const hiddenOf = (
  { config }: ItemShape,
  weights: Inputs,
  inputs: Inputs,
  states: tf.Tensor,
  dropout?: tf.Tensor
): tf.Tensor => {
  const path = inputs["depth.path"]!
  const [rows, columns] = path.shape as [number, number]
  const linear = (x: tf.Tensor, name: string) => tf.matMul(x as tf.Tensor2D, weights[name] as tf.Tensor2D, false, true)
  const codes = tf.gather(weights[prefix]!, path.reshape([rows * columns])).reshape([rows, columns, config.width])
    .mul(inputs["depth.pathMask"]!.reshape([rows, columns, 1])).sum(1)
  const z = tf.gather(states, inputs["depth.state"]!).add(codes)
  const h = RmsNorm.apply(z, weights[normBefore]!, config.epsilon)
  const unit = linear(SwiGlu.apply(linear(h, gate), linear(h, up)), down)
  return RmsNorm.apply(z.add(dropout === undefined ? unit : unit.mul(dropout)), weights[normAfter]!, config.epsilon)
}

/** Computes the logits of the columns of every tile, [N, W, K], from states [M, D]. */
export const logits = (shape: ItemShape, weights: Inputs, inputs: Inputs, states: tf.Tensor): tf.Tensor =>
  LevelHead.logits(
    shape.vocabulary,
    hiddenOf(shape, weights, inputs, states),
    weights[Transformer.headName(shape.config)]!,
    inputs
  )

/** Computes the log-probabilities of the columns of all tiles over the legal ones, flattened. */
export const logProbs = (shape: ItemShape, weights: Inputs, inputs: Inputs, states: tf.Tensor): tf.Tensor =>
  tf.logSoftmax(LinearCrossEntropy.legalLogits(logits(shape, weights, inputs, states), inputs["depth.legal"]!))
    .reshape([-1])

/** Inputs of the targets of `loss`: the column and weight of each place of the tiles. */
const labelInputs: Record<string, TensorSpec> = {
  "depth.targets": int32("N", "W"),
  "depth.weights": float32("N", "W")
}

/** Computes the weighted cross-entropy of the codes over the legal columns. */
export const loss = (
  shape: ItemShape,
  weights: Inputs,
  inputs: Inputs,
  states: tf.Tensor,
  { dropout, smoothing }: LossOptions
): tf.Tensor => {
  const { classes, rows } = LevelHead.operands(
    shape.vocabulary,
    hiddenOf(shape, weights, inputs, states, dropout),
    weights[Transformer.headName(shape.config)]!,
    inputs
  )
  return LinearCrossEntropy.loss(rows, classes, {
    targets: inputs["depth.targets"]!,
    weights: inputs["depth.weights"]!,
    legal: inputs["depth.legal"]!,
    smoothing
  })
}

/** Lays out the codes of the targets: L rows per position, those of a shorter SID and of padding without a target. */
const targetFeeds = (shape: ItemShape, space: LeafSpace, { items, weights }: Targets): Record<string, HostTensor> => {
  const { levels, vocabulary } = shape
  // A SID that is a prefix of another SID is followed by its end.
  const rowsEach = levels + (vocabulary.ends ? 1 : 0)
  const count = items.length * rowsEach
  const nodes = new Int32Array(count).fill(-1)
  const states = new Int32Array(count)
  const columns = LevelHead.columns(vocabulary)
  const targets = new Int32Array(count)
  for (const [m, item] of items.entries()) {
    states.fill(m, m * rowsEach, (m + 1) * rowsEach)
    if (item < 0) continue
    const leaf = space.leaf(item)
    const level = space.level(leaf)
    if (space.childCount(leaf) > 0) {
      nodes[m * rowsEach + level] = leaf
      targets[m * rowsEach + level] = columns - 1
    }
    for (let at = leaf, l = level - 1; l >= 0; l--) {
      targets[m * rowsEach + l] = space.code(at)
      at = space.parent(at)
      nodes[m * rowsEach + l] = at
    }
  }
  const { feeds, tiles } = layout(shape, () => space, { states, nodes }, LevelHead.evenWidth(vocabulary, count))
  const places = tiles.rows.length
  const tiled = { targets: new Int32Array(places), weights: new Float32Array(places) }
  const legal = new Uint8Array(places * columns)
  const children = new Int32Array(space.width)
  for (const [r, node] of nodes.entries()) {
    if (node < 0) continue
    const place = tiles.places[r]!
    tiled.targets[place] = targets[r]!
    tiled.weights[place] = weights[states[r]!]!
    const found = space.children(node, children)
    for (let c = 0; c < found; c++) legal[place * columns + space.code(children[c]!)] = 1
    if (found > 0 && space.ends(node)) legal[(place + 1) * columns - 1] = 1
  }
  return {
    ...feeds,
    "depth.targets": hostInt32(tiled.targets, tiles.count, tiles.width),
    "depth.weights": hostFloat32(tiled.weights, tiles.count, tiles.width),
    "depth.legal": hostBool(legal, tiles.count, tiles.width, columns)
  }
}

/** Head of the `item` family in supervised training. */
export const generator: GeneratorHead = {
  term: "sid",
  parameters,
  dropout: {
    rate: ({ head }) => head,
    dimensions: ({ config: { width } }) => ["R", width],
    of: ({ config: { width }, levels, vocabulary }, rows, length) => [
      rows * length * (levels + (vocabulary.ends ? 1 : 0)),
      width
    ]
  },
  loss: {
    _tag: "Graph",
    inputs: (shape) => ({ ...inputs(shape), ...labelInputs, "depth.legal": legalInput(shape) }),
    of: loss,
    feeds: targetFeeds
  }
}
