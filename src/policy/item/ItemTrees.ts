/**
 * Trees of candidates under the depth head: their scores, and the gradient of a group objective.
 */
import * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import { type GroupObjective } from "../../objective/Objective.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { hostBool, hostInt32, int32 } from "../../tensor/TensorProgram.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import * as FlatDecoder from "../flat/FlatDecoder.ts"
import * as LevelHead from "../flat/LevelHead.ts"
import * as GradientParts from "../GradientParts.ts"
import { ofTensor } from "../PolicyError.ts"
import {
  type CandidateGroup,
  checkNeeds,
  type Gradient,
  type ScoredGroup,
  type TreeLogProbs,
  type Weights
} from "../PolicyModel.ts"
import * as CandidateObjective from "../tree/CandidateObjective.ts"
import * as CandidateTrees from "../tree/CandidateTrees.ts"
import * as DepthHead from "./DepthHead.ts"
import * as ItemModel from "./ItemModel.ts"
import * as ItemNetwork from "./ItemNetwork.ts"

/** Largest number of cells of the tiles, rows times columns, that are computed at once: 256 MB of float32. */
const widest = 2 ** 26

/** Splits groups, in order, into parts whose inner nodes have at most `cells` columns together; usually one part. */
const partsOf = <Group extends CandidateGroup>(
  { shape }: ItemModel.ItemModel,
  cells: number,
  groups: ReadonlyArray<Group>
): ReadonlyArray<ReadonlyArray<Group>> => {
  const parts: Array<Array<Group>> = []
  let used = 0
  for (const group of groups) {
    const size = (1 + group.leaves.length * (shape.levels - 1)) * LevelHead.columns(shape.vocabulary)
    if (parts.length > 0 && used + size <= cells) parts.at(-1)!.push(group)
    else {
      parts.push([group])
      used = 0
    }
    used += size
  }
  return parts
}

const treeInputs = (model: ItemModel.ItemModel) => ({
  ...ItemModel.inputs(model),
  last: int32("P"),
  ...DepthHead.inputs(model.shape),
  "depth.legal": DepthHead.legalInput(model.shape)
})

/** Lays out groups with the feeds of every program over them; `bases` are the offsets of each inner node's columns. */
const treeFeeds = Effect.fnUntraced(function*(model: ItemModel.ItemModel, groups: ReadonlyArray<CandidateGroup>) {
  const { shape, space } = model
  const columns = LevelHead.columns(shape.vocabulary)
  const { feeds, last } = ItemModel.promptFeeds(
    model,
    yield* ItemModel.histories(model, groups.map(({ prompt }) => prompt))
  )
  const trees = CandidateTrees.make(space, groups, columns - 1)
  const states = new Int32Array(trees.nodes.length)
  for (const g of groups.keys()) states.fill(g, trees.first[g], trees.first[g + 1])
  const { feeds: depth, tiles } = DepthHead.layout(shape, () => space, { states, nodes: trees.nodes })
  const bases = trees.nodes.map((_, r) => tiles.places[r]! * columns)
  const legal = new Uint8Array(tiles.rows.length * columns)
  for (const [r, base] of bases.entries()) {
    for (let e = trees.starts[r]!; e < trees.starts[r + 1]!; e++) legal[base + trees.edges[e]!] = 1
  }
  return {
    trees,
    bases,
    feeds: {
      ...feeds,
      last: hostInt32(last, last.length),
      ...depth,
      "depth.legal": hostBool(legal, tiles.count, tiles.width, columns)
    }
  }
})

const table = ({ shape }: ItemModel.ItemModel, weights: ItemNetwork.Inputs, inputs: ItemNetwork.Inputs): tf.Tensor =>
  DepthHead.logProbs(
    shape,
    weights,
    inputs,
    tf.gather(ItemNetwork.states(shape, weights, inputs), inputs["last"]!)
  )

/** Makes the function that returns the log-probabilities of each group's tree. */
export const score = Effect.fnUntraced(function*(model: ItemModel.ItemModel, cells: number = widest) {
  const cache = yield* ProgramCache.make<"trees">(model.runtime, () =>
    TensorProgram.make({
      name: `${model.family}.trees`,
      inputs: { ...treeInputs(model), edges: CandidateObjective.edgesInput },
      body: (inputs: ItemNetwork.Inputs) => ({
        logProbs: CandidateObjective.gather(table(model, inputs, inputs), inputs["edges"]!)
      })
    }))
  const scorePart = Effect.fnUntraced(function*(groups: ReadonlyArray<CandidateGroup>, weights: Weights) {
    const { bases, feeds, trees } = yield* treeFeeds(model, groups)
    const outputs = yield* (yield* cache("trees")).run({
      ...weights.feeds,
      ...feeds,
      edges: CandidateObjective.edges(trees, bases)
    })
    return CandidateTrees.split(trees, (yield* outputs["logProbs"]!.read).data as Float32Array)
  }, Effect.scoped)
  return Effect.fn("PolicyModel.score")(
    function*(groups: ReadonlyArray<CandidateGroup>, weights: Weights) {
      const parts = partsOf(model, cells, groups)
      return (yield* Effect.forEach(parts, (part) => scorePart(part, weights))).flat() as ReadonlyArray<TreeLogProbs>
    },
    Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
  )
})

/** Compiles the gradient of an objective over groups. */
export const groupGradient = Effect.fn("PolicyModel.groupGradient")(function*(
  model: ItemModel.ItemModel,
  objective: GroupObjective,
  cells: number = widest
) {
  const cache = yield* ProgramCache.make(model.runtime, (frozen: ReadonlyArray<string>) =>
    TensorProgram.make({
      name: `${model.family}.${objective.name}`,
      inputs: { ...treeInputs(model), ...CandidateObjective.inputs(objective) },
      body: (inputs: ItemNetwork.Inputs) => {
        const { auxiliary, gradients, value } = Autodiff.withAuxiliary(
          (own) => CandidateObjective.evaluate(objective, table(model, { ...inputs, ...own }, inputs), inputs),
          ItemModel.trained(model, inputs, frozen)
        )
        return { loss: value, ...auxiliary, ...gradients }
      }
    }))
  const program = (frozen: ReadonlyArray<string>) => cache(frozen).pipe(Effect.mapError(ofTensor))
  // Fails here if the objective cannot be compiled.
  yield* program(model.slots.flatMap(({ name, trainable }) => trainable ? [] : [name]))
  const gradient: Gradient<ReadonlyArray<ScoredGroup>> = {
    accumulate: Effect.fn("PolicyModel.groupGradient.accumulate")(function*(store, parts) {
      yield* Effect.forEach(parts, ({ batch }) => checkNeeds(objective, batch), { discard: true })
      const laid = yield* Effect.forEach(parts, ({ batch, share = 1 }) => {
        const totals = CandidateObjective.totalsOf(model.space, batch)
        return Effect.forEach(
          partsOf(model, cells, batch),
          (groups) =>
            Effect.map(treeFeeds(model, groups), ({ bases, feeds, trees }) => ({
              share,
              feeds: { ...feeds, ...CandidateObjective.feeds(groups, trees, bases, objective, totals) }
            }))
        )
      })
      return yield* GradientParts.accumulate(store, yield* program(FlatDecoder.frozenIn(store)), laid.flat())
    })
  }
  return gradient
})
