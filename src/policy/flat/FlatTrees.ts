/**
 * Trees of candidates in one forward pass of a flat policy: their scores, and the gradient of a group objective.
 */
import * as Effect from "effect/Effect"
import { type GroupObjective } from "../../objective/Objective.ts"
import { type Feeds } from "../../optimizer/ParameterStore.ts"
import { masked } from "../../tensor/Attention.ts"
import { hostBool, hostFloat32, hostInt32 } from "../../tensor/TensorProgram.ts"
import { ofTensor } from "../PolicyError.ts"
import {
  type CandidateGroup,
  type Gradient,
  type ScoredGroup,
  type TreeLogProbs,
  type Weights
} from "../PolicyModel.ts"
import { type FlatDecoder } from "./FlatDecoder.ts"
import * as FlatGradient from "./FlatGradient.ts"
import * as FlatLayout from "./FlatLayout.ts"
import * as FlatPrograms from "./FlatPrograms.ts"
import * as FlatPrompt from "./FlatPrompt.ts"

const historiesOf = (groups: ReadonlyArray<CandidateGroup>) =>
  Effect.forEach(groups, ({ prompt }) => FlatPrompt.items(prompt))

/** Lays out the trees and returns the feeds common to all programs over trees. */
const treeFeeds = (
  { index, legalTable, promptPositions, space, vocabulary }: FlatDecoder,
  groups: ReadonlyArray<CandidateGroup>,
  histories: ReadonlyArray<Int32Array>
) => {
  const rows = FlatLayout.trees(
    index,
    space,
    vocabulary,
    groups.map(({ leaves }, g) => ({ history: histories[g]!, leaves })),
    promptPositions,
    masked
  )
  const count = rows.nodes.length
  const edges = new Int32Array(count * rows.widest)
  for (let r = 0; r < count; r++) {
    edges.fill(r * vocabulary.size, r * rows.widest, (r + 1) * rows.widest)
    for (let e = rows.starts[r]!; e < rows.starts[r + 1]!; e++) {
      edges[r * rows.widest + e - rows.starts[r]!]! += rows.edges[e]!
    }
  }
  return {
    rows,
    feeds: {
      tokens: hostInt32(rows.tokens, rows.rows, rows.length),
      positions: hostInt32(rows.positions, rows.rows, rows.length),
      mask: hostFloat32(rows.mask, rows.rows, 1, rows.length, rows.length),
      predictors: hostInt32(rows.predictors, count),
      legal: hostBool(legalTable(rows.nodes), count, vocabulary.size),
      edges: hostInt32(edges, count, rows.widest)
    }
  }
}

const candidatesOf = (groups: ReadonlyArray<CandidateGroup>): number =>
  groups.reduce((sum, { leaves }) => sum + leaves.length, 0)

/** Splits groups and histories, in order, into parts of at most `attention` cells; usually one part. */
const partsOf = <Group extends CandidateGroup>(
  { index, promptPositions }: FlatDecoder,
  attention: number,
  groups: ReadonlyArray<Group>,
  histories: ReadonlyArray<Int32Array>
) => {
  const parts: Array<{ readonly groups: Array<Group>; readonly histories: Array<Int32Array> }> = []
  let longest = 0
  for (const [g, group] of groups.entries()) {
    const history = histories[g]!
    const columns = Math.min(promptPositions, 1 + history.length * index.levels) +
      group.leaves.length * (index.levels - 1)
    longest = Math.max(longest, columns)
    const part = parts.at(-1)
    if (part !== undefined && (part.groups.length + 1) * longest ** 2 <= attention) {
      part.groups.push(group)
      part.histories.push(history)
    } else {
      parts.push({ groups: [group], histories: [history] })
      longest = columns
    }
  }
  return parts
}

const scorePart = Effect.fnUntraced(
  function*(
    decoder: FlatDecoder,
    groups: ReadonlyArray<CandidateGroup>,
    histories: ReadonlyArray<Int32Array>,
    weights: Weights
  ) {
    const { feeds, rows } = treeFeeds(decoder, groups, histories)
    const executable = yield* decoder.program(
      "treeScores",
      () => FlatPrograms.treeScores(decoder.config, decoder.slots)
    )
    const outputs = yield* executable.run({ ...weights.feeds, ...feeds })
    const table = (yield* outputs["logProbs"]!.read).data
    return groups.map((_, g): TreeLogProbs => {
      const [from, to] = [rows.first[g]!, rows.first[g + 1]!]
      const starts = rows.starts.slice(from, to + 1).map((start) => start - rows.starts[from]!)
      const logProbs = new Float32Array(starts.at(-1)!)
      for (let r = from; r < to; r++) {
        const start = starts[r - from]!
        for (let e = start; e < starts[r - from + 1]!; e++) logProbs[e] = table[r * rows.widest + e - start]!
      }
      return { nodes: rows.nodes.slice(from, to), starts, logProbs }
    })
  },
  Effect.scoped,
  Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
)

/** Returns the log-probabilities of each group's tree, computed in parts of at most `attention` cells. */
export const score = Effect.fn("PolicyModel.score")(
  function*(decoder: FlatDecoder, attention: number, groups: ReadonlyArray<CandidateGroup>, weights: Weights) {
    const parts = partsOf(decoder, attention, groups, yield* historiesOf(groups))
    return (yield* Effect.forEach(parts, (part) => scorePart(decoder, part.groups, part.histories, weights))).flat()
  }
)

/** Lays out the feeds of an objective's program. */
const groupFeeds = (
  decoder: FlatDecoder,
  groups: ReadonlyArray<ScoredGroup>,
  histories: ReadonlyArray<Int32Array>,
  objective: GroupObjective
): Feeds => {
  const { feeds, rows } = treeFeeds(decoder, groups, histories)
  const [count, widest] = [rows.nodes.length, rows.widest]
  const candidates = candidatesOf(groups)
  const longestPath = Math.max(1, ...rows.paths.flatMap((paths) => paths.map((path) => path.length)))
  const table = () => new Float32Array(candidates * longestPath)
  const [stepMask, behaviour, reference] = [table(), table(), table()]
  const steps = new Int32Array(candidates * longestPath)
  const [advantages, group] = [new Float32Array(candidates), new Int32Array(candidates)]
  const [nodeReference, edgeMask] = [new Float32Array(count * widest), new Float32Array(count * widest)]
  const visits = new Float32Array(count)
  const rowOf = new Int32Array(rows.edges.length)
  for (let r = 0; r < count; r++) {
    const [from, to] = [rows.starts[r]!, rows.starts[r + 1]!]
    rowOf.fill(r, from, to)
    edgeMask.fill(1, r * widest, r * widest + to - from)
  }
  let c = 0
  for (const [g, scored] of groups.entries()) {
    const { logProbs, nodes, starts } = scored.reference
    const known = new Map(Array.from(nodes, (node, i) => [node, starts[i]!]))
    for (let r = rows.first[g]!; r < rows.first[g + 1]!; r++) {
      const [from, length] = [known.get(rows.nodes[r]!)!, rows.starts[r + 1]! - rows.starts[r]!]
      nodeReference.set(logProbs.subarray(from, from + length), r * widest)
    }
    for (const [i, path] of rows.paths[g]!.entries()) {
      advantages[c] = scored.advantages[i]!
      group[c] = g
      for (const [l, edge] of path.entries()) {
        const [at, r] = [c * longestPath + l, rowOf[edge]!]
        steps[at] = r * decoder.vocabulary.size + rows.edges[edge]!
        stepMask[at] = 1
        behaviour[at] = scored.behaviour[i]![l]!
        reference[at] = nodeReference[r * widest + edge - rows.starts[r]!]!
        visits[r]!++
      }
      c++
    }
  }
  return {
    ...feeds,
    steps: hostInt32(steps, candidates, longestPath),
    stepMask: hostFloat32(stepMask, candidates, longestPath),
    behaviour: hostFloat32(behaviour, candidates, longestPath),
    reference: hostFloat32(reference, candidates, longestPath),
    advantages: hostFloat32(advantages, candidates),
    group: hostInt32(group, candidates),
    nodeReference: hostFloat32(nodeReference, count, widest),
    edgeMask: hostFloat32(edgeMask, count, widest),
    visits: hostFloat32(visits, count),
    ...Object.fromEntries(
      Object.entries(objective.scalars).map(([name, value]) => [
        FlatPrograms.scalarName(name),
        hostFloat32(Float32Array.of(value))
      ])
    )
  }
}

/** Compiles the gradient of an objective over groups, computed in parts of at most `attention` cells. */
export const groupGradient = Effect.fn("PolicyModel.groupGradient")(function*(
  decoder: FlatDecoder,
  attention: number,
  objective: GroupObjective
) {
  const executable = yield* decoder.compile(FlatPrograms.groupGradient(decoder.config, decoder.slots, objective)).pipe(
    Effect.mapError(ofTensor)
  )
  const gradient: Gradient<ReadonlyArray<ScoredGroup>> = {
    accumulate: Effect.fn("PolicyModel.groupGradient.accumulate")(function*(store, parts) {
      const histories = yield* Effect.forEach(parts, ({ batch }) => historiesOf(batch))
      return yield* FlatGradient.accumulate(
        store,
        executable,
        // A loss is a mean over candidates, so each part is weighted by its share of the candidates.
        parts.flatMap(({ batch, share = 1 }, part) =>
          partsOf(decoder, attention, batch, histories[part]!).map(({ groups, histories: own }) => ({
            share: share * candidatesOf(groups) / candidatesOf(batch),
            get feeds() {
              return groupFeeds(decoder, groups, own, objective)
            }
          }))
        )
      )
    })
  }
  return gradient
})
