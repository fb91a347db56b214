/**
 * Supervised training of a flat policy: the batches of an epoch and the gradient of a batch.
 */
import * as Effect from "effect/Effect"
import { type SidIndex } from "../../sid/SidIndex.ts"
import * as Trie from "../../sid/trie/Trie.ts"
import * as ProgramCache from "../../tensor/ProgramCache.ts"
import { hostBool, hostFloat32, hostInt32 } from "../../tensor/TensorProgram.ts"
import * as GradientParts from "../GradientParts.ts"
import * as ItemPrompt from "../ItemPrompt.ts"
import { ofTensor } from "../PolicyError.ts"
import { type Gradient, type SupervisedBatch } from "../PolicyModel.ts"
import { type TrainingExample } from "../Prompt.ts"
import * as StateDropout from "../transformer/StateDropout.ts"
import * as FlatDecoder from "./FlatDecoder.ts"
import * as FlatLayout from "./FlatLayout.ts"
import * as FlatPrograms from "./FlatPrograms.ts"
import * as LevelHead from "./LevelHead.ts"

const longestOf = (index: SidIndex, sequences: ReadonlyArray<FlatLayout.Sequence>): number =>
  sequences.reduce((most, { items }) => {
    let size = 0
    for (const item of items) size += FlatLayout.itemLength(index, item)
    return Math.max(most, size)
  }, 0)

/** Name of the family. */
export const family = "flat"

const sequenceOf = Effect.fnUntraced(function*(historyItems: number, { answer, prompt, weight }: TrainingExample) {
  const items = yield* ItemPrompt.items(family, prompt)
  const own = answer === "every-position" ? [] : yield* ItemPrompt.answered(family, answer)
  const all = own.length === 0 ? items : Int32Array.from([...items, ...own])
  const kept = all.subarray(-historyItems)
  const given = own.length === 0 ? 0 : Math.max(0, items.length - (all.length - kept.length))
  return { items: kept, given, weight } satisfies FlatLayout.Sequence
})

/** Packs the examples of an epoch into batches of about `batchTokens` positions; fails for text prompts and answers. */
export const plan = Effect.fnUntraced(function*(
  { index, vocabulary }: FlatDecoder.FlatDecoder,
  { batchTokens, historyItems }: { readonly batchTokens: number; readonly historyItems: number },
  examples: ReadonlyArray<TrainingExample>,
  seed: number,
  epoch: number
) {
  const sequences = yield* Effect.forEach(examples, (example) => sequenceOf(historyItems, example))
  const length = Math.min(256, Math.max(128, Math.ceil(longestOf(index, sequences) / 32) * 32))
  const options = { length, batchTokens, seed, epoch }
  return FlatLayout.pack(index, vocabulary, sequences, options).map((rows): SupervisedBatch => {
    const shape = [rows.rows, rows.length] as const
    return {
      program: `supervised.${length}`,
      targets: rows.losses,
      feeds: {
        tokens: hostInt32(rows.tokens, ...shape),
        positions: hostInt32(rows.positions, ...shape),
        segments: hostInt32(rows.segments, ...shape),
        targets: hostInt32(rows.targets, ...shape),
        weights: hostFloat32(rows.weights, ...shape),
        nodes: hostInt32(rows.nodes, ...shape)
      }
    }
  })
})

/** Gathers the positions with a loss into tiles by level, with their legal columns. */
const labels = (
  { clear, index, vocabulary }: FlatDecoder.FlatDecoder,
  { nodes, targets, weights }: SupervisedBatch["feeds"]
) => {
  const at = nodes!.data as Int32Array
  const levels = at.map((node) => node < 0 ? -1 : Trie.level(index.trie, node))
  const tiles = LevelHead.tiles(levels, LevelHead.evenWidth(vocabulary, levels.length))
  const columns = LevelHead.columns(vocabulary)
  const tiled = { targets: new Int32Array(tiles.rows.length), weights: new Float32Array(tiles.rows.length) }
  const legal = clear(tiles.rows.length * columns)
  for (const [position, level] of levels.entries()) {
    if (level < 0) continue
    const place = tiles.places[position]!
    tiled.targets[place] = LevelHead.column(vocabulary, level, targets!.data[position]!)
    tiled.weights[place] = weights!.data[position]!
    FlatLayout.markLegal(index, vocabulary, at[position]!, legal, place * columns)
  }
  return {
    ...LevelHead.feeds(vocabulary, tiles, ...nodes!.shape),
    targets: hostInt32(tiled.targets, tiles.count, tiles.width),
    weights: hostFloat32(tiled.weights, tiles.count, tiles.width),
    legal: hostBool(legal, tiles.count, tiles.width, columns)
  }
}

/**
 * Makes the maker of gradients of the cross-entropy over the legal next tokens, with the dropout and label smoothing of
 * the settings; they share its programs.
 */
export const gradients = Effect.fnUntraced(function*(
  decoder: FlatDecoder.FlatDecoder,
  { dropout: share, labelSmoothing: smoothing }: { readonly dropout: number; readonly labelSmoothing: number }
) {
  const { network: { config, parameters }, runtime, vocabulary } = decoder
  const program = yield* ProgramCache.make(
    runtime,
    (
      key: {
        readonly length: number
        readonly dropout: boolean
        readonly smoothing: number
        readonly frozen: ReadonlyArray<string>
      }
    ) => FlatPrograms.supervised(config, vocabulary, FlatDecoder.parametersWith(parameters, key.frozen), key)
  )
  return Effect.sync((): Gradient<SupervisedBatch> => {
    const dropout = StateDropout.make(config, share)
    return {
      accumulate: Effect.fn("PolicyModel.supervised")(function*(store, parts, { seed, step }) {
        const [, length] = parts[0]!.batch.feeds["tokens"]!.shape as [number, number]
        const executable = yield* program({
          length,
          dropout: share > 0,
          smoothing,
          frozen: FlatDecoder.frozenIn(store)
        }).pipe(Effect.mapError(ofTensor))
        const feedsOf = ({ feeds: { nodes, targets, weights, ...feeds } }: SupervisedBatch, part: number) => ({
          ...feeds,
          ...labels(decoder, { nodes: nodes!, targets: targets!, weights: weights! }),
          ...dropout(feeds["tokens"]!.shape, { seed, step, part })
        })
        return yield* GradientParts.accumulateBatches(store, executable, parts, feedsOf)
      })
    }
  })
})
