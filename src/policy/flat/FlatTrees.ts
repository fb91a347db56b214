/**
 * Trees of candidates in one forward pass of a decoder with one position per code: their scores, and the gradient of a group objective.
 */
import * as Effect from "effect/Effect"
import { type GroupObjective } from "../../objective/Objective.ts"
import { masked } from "../../tensor/Attention.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { hostBool, hostFloat32, hostInt32 } from "../../tensor/TensorProgram.ts"
import * as GradientParts from "../GradientParts.ts"
import { ofTensor } from "../PolicyError.ts"
import { type CandidateGroup, checkNeeds, type Gradient, type ScoredGroup, type Weights } from "../PolicyModel.ts"
import * as CandidateObjective from "../tree/CandidateObjective.ts"
import * as CandidateTrees from "../tree/CandidateTrees.ts"
import * as FlatDecoder from "./FlatDecoder.ts"
import * as FlatLayout from "./FlatLayout.ts"
import * as FlatPrograms from "./FlatPrograms.ts"
import * as LevelHead from "./LevelHead.ts"

const promptsOf = (decoder: FlatDecoder.FlatDecoder, groups: ReadonlyArray<CandidateGroup>) =>
  Effect.forEach(groups, ({ prompt }) => decoder.prompt(prompt))

/** Lays out trees with the feeds of every program over them; `bases` are the offsets of each inner node's columns. */
const treeFeeds = (
  { base: first, clear, network, space, vocabulary }: FlatDecoder.FlatDecoder,
  groups: ReadonlyArray<CandidateGroup>,
  prompts: ReadonlyArray<Int32Array>
) => {
  const rows = FlatLayout.trees(
    space,
    vocabulary,
    groups.map(({ leaves }, g) => ({ tokens: prompts[g]!, leaves })),
    masked,
    { base: first, window: network.config.slidingWindow }
  )
  const levels = new Int32Array(rows.rows * rows.length).fill(-1)
  for (const [r, position] of rows.predictors.entries()) levels[position] = space.level(rows.nodes[r]!)
  const tiles = LevelHead.tiles(levels)
  const columns = LevelHead.columns(vocabulary)
  const bases = rows.predictors.map((position) => tiles.places[position]! * columns)
  const legal = clear(tiles.rows.length * columns)
  for (const [r, base] of bases.entries()) {
    for (let e = rows.starts[r]!; e < rows.starts[r + 1]!; e++) legal[base + rows.edges[e]!] = 1
  }
  return {
    rows,
    bases,
    feeds: {
      tokens: hostInt32(rows.tokens, rows.rows, rows.length),
      positions: hostInt32(rows.positions, rows.rows, rows.length),
      mask: hostFloat32(rows.mask, rows.rows, 1, rows.length, rows.length),
      ...LevelHead.feeds(vocabulary, tiles, rows.rows, rows.length),
      legal: hostBool(legal, tiles.count, tiles.width, columns)
    }
  }
}

/** Splits groups and prompts, in order, into parts of at most `attention` cells; usually one part. */
const partsOf = <Group extends CandidateGroup>(
  { index }: FlatDecoder.FlatDecoder,
  attention: number,
  groups: ReadonlyArray<Group>,
  prompts: ReadonlyArray<Int32Array>
) => {
  const parts: Array<{ readonly groups: Array<Group>; readonly prompts: Array<Int32Array> }> = []
  let [positions, longest] = [0, 0]
  for (const [g, group] of groups.entries()) {
    const prompt = prompts[g]!
    const columns = prompt.length + group.leaves.length * (index.levels - 1)
    positions += columns
    longest = Math.max(longest, columns)
    const part = parts.at(-1)
    if (part !== undefined && positions * Math.max(longest, FlatLayout.treeRow) <= attention) {
      part.groups.push(group)
      part.prompts.push(prompt)
    } else {
      parts.push({ groups: [group], prompts: [prompt] })
      positions = longest = columns
    }
  }
  return parts
}

const scorePart = Effect.fnUntraced(
  function*(
    decoder: FlatDecoder.FlatDecoder,
    groups: ReadonlyArray<CandidateGroup>,
    prompts: ReadonlyArray<Int32Array>,
    weights: Weights
  ) {
    const { bases, feeds, rows } = treeFeeds(decoder, groups, prompts)
    const executable = yield* decoder.program({ kind: "treeScores" })
    const outputs = yield* executable.run({
      ...weights.feeds,
      ...feeds,
      edges: CandidateObjective.edges(rows, bases)
    })
    return CandidateTrees.split(rows, (yield* outputs["logProbs"]!.read).data as Float32Array)
  },
  Effect.scoped,
  Effect.catchTag("TensorError", (error) => Effect.fail(ofTensor(error)))
)

/** Returns the log-probabilities of each group's tree, computed in parts of at most `attention` cells. */
export const score = Effect.fn("PolicyModel.score")(
  function*(
    decoder: FlatDecoder.FlatDecoder,
    attention: number,
    groups: ReadonlyArray<CandidateGroup>,
    weights: Weights
  ) {
    const parts = partsOf(decoder, attention, groups, yield* promptsOf(decoder, groups))
    return (yield* Effect.forEach(parts, (part) => scorePart(decoder, part.groups, part.prompts, weights))).flat()
  }
)

/** Compiles the gradient of an objective over groups, computed in parts of at most `attention` cells. */
export const groupGradient = Effect.fn("PolicyModel.groupGradient")(function*(
  decoder: FlatDecoder.FlatDecoder,
  attention: number,
  objective: GroupObjective
) {
  const { network, runtime, vocabulary } = decoder
  const cache = yield* ProgramCache.make(
    runtime,
    (frozen: ReadonlyArray<string>) =>
      FlatPrograms.groupGradient(
        { ...network, parameters: FlatDecoder.parametersWith(network.parameters, frozen) },
        vocabulary,
        objective
      )
  )
  const program = (frozen: ReadonlyArray<string>) => cache(frozen).pipe(Effect.mapError(ofTensor))
  // Fails here if the objective cannot be compiled.
  yield* program(network.parameters.flatMap(({ name, trainable }) => trainable ? [] : [name]))
  const gradient: Gradient<ReadonlyArray<ScoredGroup>> = {
    accumulate: Effect.fn("PolicyModel.groupGradient.accumulate")(function*(store, parts) {
      yield* Effect.forEach(parts, ({ batch }) => checkNeeds(objective, batch), { discard: true })
      const prompts = yield* Effect.forEach(parts, ({ batch }) => promptsOf(decoder, batch))
      return yield* GradientParts.accumulate(
        store,
        yield* program(FlatDecoder.frozenIn(store)),
        // An objective divides by the counts of the whole batch, so the sum over its parts is that of the batch.
        parts.flatMap(({ batch, share = 1 }, part) => {
          const totals = CandidateObjective.totalsOf(decoder.space, batch)
          return partsOf(decoder, attention, batch, prompts[part]!).map(({ groups, prompts: own }) => ({
            share,
            get feeds() {
              const { bases, feeds, rows } = treeFeeds(decoder, groups, own)
              return { ...feeds, ...CandidateObjective.feeds(groups, rows, bases, objective, totals) }
            }
          }))
        })
      )
    })
  }
  return gradient
})
