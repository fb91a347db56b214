/**
 * Trees of candidates under scores of all items: their log-probabilities, and the gradient of a group objective.
 *
 * The objective is evaluated on the trees' log-probabilities alone; its derivatives are carried back to the items'
 * scores on the host in float64, and from there to the weights by a second program.
 */
import * as Effect from "effect/Effect"
import { type GroupObjective } from "../../objective/Objective.ts"
import { type ParameterStore } from "../../optimizer/ParameterStore.ts"
import * as Autodiff from "../../tensor/Autodiff.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { float32, hostFloat32 } from "../../tensor/TensorProgram.ts"
import * as TensorProgram from "../../tensor/TensorProgram.ts"
import * as FlatDecoder from "../flat/FlatDecoder.ts"
import type * as ItemModel from "../item/ItemModel.ts"
import { type Inputs } from "../item/ItemNetwork.ts"
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
import type * as DigitHead from "./DigitHead.ts"
import * as DigitScores from "./DigitScores.ts"
import * as LeafMasses from "./LeafMasses.ts"
import { type ScoreAll } from "./MassSession.ts"

/** Column of the end of a SID among the edges of a node, larger than every code. */
const endColumn = 2 ** 30

/** Trees of groups with the masses of their prompts, and the log-probabilities of all edges. */
const treesOf = (
  { space }: ItemModel.ItemModel,
  groups: ReadonlyArray<CandidateGroup>,
  scoresOf: (group: number) => Float64Array
) => {
  const trees = CandidateTrees.make(space, groups, endColumn)
  const table = new Float32Array(trees.edges.length)
  const children = new Int32Array(space.width)
  const masses = groups.map((_, g) => {
    const own = LeafMasses.of(space, scoresOf(g))
    for (let r = trees.first[g]!; r < trees.first[g + 1]!; r++) {
      const node = trees.nodes[r]!
      space.children(node, children)
      for (let e = trees.starts[r]!; e < trees.starts[r + 1]!; e++) {
        table[e] = trees.edges[e] === endColumn
          ? LeafMasses.toEnd(own, node)
          : LeafMasses.toChild(own, node, children[e - trees.starts[r]!]!)
      }
    }
    return own
  })
  // Edges stand in the table in their own order: the column of an edge is its place among those of its node.
  const columns = trees.edges.map((_, e) => e)
  return {
    trees: { ...trees, edges: columns },
    ends: trees.edges.map((edge) => edge === endColumn ? 1 : 0),
    table,
    masses
  }
}

/** Makes the function that returns the log-probabilities of each group's tree. */
export const score = (model: ItemModel.ItemModel, scoreAll: ScoreAll) =>
  Effect.fn("PolicyModel.score")(
    function*(groups: ReadonlyArray<CandidateGroup>, weights: Weights) {
      const scored = yield* scoreAll(groups.map(({ prompt }) => prompt), weights)
      const { table, trees: { first, nodes, starts } } = treesOf(model, groups, scored.of)
      return groups.map((_, g): TreeLogProbs => {
        const [from, to] = [first[g]!, first[g + 1]!]
        return {
          nodes: nodes.slice(from, to),
          starts: starts.slice(from, to + 1).map((start) => start - starts[from]!),
          logProbs: table.slice(starts[from], starts[to])
        }
      })
    },
    Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
  )

/** Largest number of prompts whose gradient is computed at once. */
const together = 256

/** Compiles the gradient of an objective over groups. */
export const groupGradient = Effect.fn("PolicyModel.groupGradient")(function*(
  model: ItemModel.ItemModel,
  digits: DigitHead.DigitShape,
  scoreAll: ScoreAll,
  objective: GroupObjective
) {
  const { runtime, space } = model
  const columns = DigitScores.columnsOf(model)
  const cache = yield* ProgramCache.make(
    runtime,
    (frozen: ReadonlyArray<string>) => DigitScores.pullProgram(model, digits, frozen)
  )
  const objectiveProgram = yield* runtime.compile(TensorProgram.make({
    name: `${model.family}.${objective.name}`,
    inputs: {
      table: float32("E"),
      ...CandidateObjective.inputs(objective)
    },
    body: (inputs: Inputs) => {
      const { auxiliary, gradients, value } = Autodiff.withAuxiliary(
        ({ table }) => CandidateObjective.evaluate(objective, table!, inputs),
        { table: inputs["table"]! }
      )
      return { loss: value, ...auxiliary, pulls: gradients.table }
    }
  })).pipe(Effect.mapError(ofTensor))

  /** Evaluates the objective on a part of a batch; returns its terms and the derivatives by the items' scores. */
  const evaluate = Effect.fnUntraced(function*(
    groups: ReadonlyArray<ScoredGroup>,
    weights: Weights,
    totals: CandidateObjective.Totals
  ) {
    const scored = yield* scoreAll(groups.map(({ prompt }) => prompt), weights)
    const { ends, masses, table, trees } = treesOf(model, groups, scored.of)
    const bases = new Int32Array(trees.nodes.length)
    const outputs = yield* objectiveProgram.run({
      table: hostFloat32(table, table.length),
      ...CandidateObjective.feeds(groups, trees, bases, objective, totals)
    })
    const derivatives = (yield* outputs["pulls"]!.read).data
    const terms: Record<string, number> = { loss: (yield* outputs["loss"]!.read).data[0]! }
    for (const [name, term] of CandidateObjective.termsOf(outputs)) terms[name] = (yield* term.read).data[0]!
    const children = new Int32Array(space.width)
    const pulls = masses.map((own, g) => {
      const pulls = LeafMasses.noPulls(own)
      for (let r = trees.first[g]!; r < trees.first[g + 1]!; r++) {
        const node = trees.nodes[r]!
        space.children(node, children)
        for (let e = trees.starts[r]!; e < trees.starts[r + 1]!; e++) {
          if (ends[e] === 1) LeafMasses.pullEnd(own, pulls, node, derivatives[e]!)
          else LeafMasses.pullChild(own, pulls, node, children[e - trees.starts[r]!]!, derivatives[e]!)
        }
      }
      return LeafMasses.pullBack(own, pulls)
    })
    return { terms, pulls }
  }, Effect.scoped)

  const accumulate = Effect.fn("PolicyModel.groupGradient.accumulate")(
    function*(
      store: ParameterStore,
      parts: ReadonlyArray<{ readonly batch: ReadonlyArray<ScoredGroup>; readonly share?: number | undefined }>
    ) {
      yield* Effect.forEach(parts, ({ batch }) => checkNeeds(objective, batch), { discard: true })
      const weights = yield* store.weights
      const sums: Record<string, number> = { loss: 0 }
      const batches: Array<
        { readonly feeds: Effect.Success<ReturnType<typeof DigitScores.pullFeeds>>; readonly share: number }
      > = []
      for (const { batch, share = 1 } of parts) {
        const totals = CandidateObjective.totalsOf(space, batch)
        for (let at = 0; at < batch.length; at += together) {
          const groups = batch.slice(at, at + together)
          const { pulls, terms } = yield* evaluate(groups, weights, totals)
          for (const [name, value] of Object.entries(terms)) sums[name] = (sums[name] ?? 0) + share * value
          batches.push({
            share,
            feeds: yield* DigitScores.pullFeeds(model, columns, groups.map(({ prompt }) => prompt), pulls)
          })
        }
      }
      yield* store.differentiate(yield* cache(FlatDecoder.frozenIn(store)), batches)
      return { loss: 0, ...sums }
    },
    Effect.scoped,
    Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
  )
  const gradient: Gradient<ReadonlyArray<ScoredGroup>> = { accumulate }
  return gradient
})
