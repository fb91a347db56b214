/**
 * Layout of histories as rows of tokens: a beginning token, then one position per code.
 *
 * An item whose SID is a prefix of another SID is followed by an end token, so that the row can be parsed unambiguously
 * and the end has a probability like any code.
 */
import { type SidIndex } from "../../sid/SidIndex.ts"
import { type LeafSpace } from "../../sid/trie/LeafSpace.ts"
import * as Trie from "../../sid/trie/Trie.ts"
import * as Random from "../../statistics/Random.ts"
import * as FirstFit from "../transformer/FirstFit.ts"
import * as CandidateTrees from "../tree/CandidateTrees.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"
import * as LevelHead from "./LevelHead.ts"

/**
 * Packed sequences: B `rows` of T `length` positions, row-major [B, T]; targets and weights are 0 at positions without
 * a loss.
 */
export interface PackedRows {
  readonly rows: number
  readonly length: number
  readonly tokens: Int32Array
  readonly positions: Int32Array
  readonly segments: Int32Array
  readonly targets: Int32Array
  readonly weights: Float32Array
  /** Trie node whose children are the legal targets, -1 at positions without a loss, [B, T]. */
  readonly nodes: Int32Array
  /** Number of positions with a loss. */
  readonly losses: number
}

/** Sequence of items; the first `given` items have no loss, and the losses of the others are multiplied by `weight`. */
export interface Sequence {
  readonly items: Int32Array
  readonly given: number
  readonly weight: number
}

/** Returns whether the item's SID is a prefix of another SID. */
const goesOn = (index: SidIndex, item: number): boolean => Trie.childCount(index.trie, index.leafOf[item]!) > 0

/** Returns the number of positions of an item. */
export const itemLength = (index: SidIndex, item: number): number =>
  index.sids[item]!.length + (goesOn(index, item) ? 1 : 0)

/** Returns the tokens of an item: its codes, then the end token if its SID is a prefix of another SID. */
export const itemTokens = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  item: number
): ReadonlyArray<number> => {
  const tokens = Array.from(index.sids[item]!, (code, level) => CompactVocabulary.token(vocabulary, level, code))
  if (goesOn(index, item)) tokens.push(CompactVocabulary.end)
  return tokens
}

/** Returns the longest suffix of `history` that fits into `positions` positions. */
export const lastItems = (index: SidIndex, history: Int32Array, positions: number): Int32Array => {
  let used = 0
  let from = history.length
  while (from > 0) {
    const length = itemLength(index, history[from - 1]!)
    if (used + length > positions) break
    used += length
    from--
  }
  return history.subarray(from)
}

/** Returns the tokens of a prompt: the beginning, then the latest items of the history, at most `positions` in all. */
export const prompt = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  history: Int32Array,
  positions: number
): Int32Array => {
  const items = lastItems(index, history, positions - 1)
  const tokens: Array<number> = [CompactVocabulary.begin]
  for (const item of items) tokens.push(...itemTokens(index, vocabulary, item))
  return Int32Array.from(tokens)
}

/** Returns the trie nodes before each token of an item: the root, then the prefixes of the SID. */
const nodesOnPath = (index: SidIndex, item: number): Array<number> => {
  let node = index.leafOf[item]!
  const path = goesOn(index, item) ? [node] : []
  while (node > 0) {
    node = Trie.parent(index.trie, node)
    path.push(node)
  }
  return path.toReversed()
}

/**
 * Packs sequences into rows of `length` positions without padding between them, by first fit in an order drawn from
 * (seed, epoch); then cuts the rows into batches of about `batchTokens` positions. Sequences longer than a row keep their
 * last items.
 */
export const pack = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  sequences: ReadonlyArray<Sequence>,
  options: { readonly length: number; readonly batchTokens: number; readonly seed: number; readonly epoch: number }
): ReadonlyArray<PackedRows> => {
  const { batchTokens, length } = options
  const order = Random.permutation(sequences.length, options.seed, options.epoch)
  const kept = Array.from(order, (which): Sequence => {
    const { given, items: all, weight } = sequences[which]!
    const items = lastItems(index, all, length)
    return { items, given: Math.max(0, given - (all.length - items.length)), weight }
  })
  const sizes = kept.map(({ items }) => items.reduce((size, item) => size + itemLength(index, item), 0))
  const rows = FirstFit.rows(sizes, length).map((members) => members.map((which) => kept[which]!))
  const rowsPerBatch = Math.max(1, Math.round(batchTokens / length))
  const batches: Array<PackedRows> = []
  for (let at = 0; at < rows.length; at += rowsPerBatch) {
    batches.push(fill(index, vocabulary, rows.slice(at, at + rowsPerBatch), length))
  }
  return batches
}

/**
 * Lays out rows of sequences. A sequence of n tokens has n positions: the beginning and all tokens but the last are
 * inputs, and all tokens of items after the first `given` are targets. The weights of a batch sum to 1.
 */
const fill = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  rows: ReadonlyArray<ReadonlyArray<Sequence>>,
  length: number
): PackedRows => {
  const size = rows.length * length
  const tokens = new Int32Array(size)
  const positions = new Int32Array(size)
  const segments = new Int32Array(size).fill(-1)
  const targets = new Int32Array(size)
  const weights = new Float32Array(size)
  const nodes = new Int32Array(size).fill(-1)
  let losses = 0
  let total = 0
  for (const [r, members] of rows.entries()) {
    let at = r * length
    for (const [segment, { given, items, weight }] of members.entries()) {
      let previous = CompactVocabulary.begin
      let position = 0
      for (const [i, item] of items.entries()) {
        const path = nodesOnPath(index, item)
        for (const [step, target] of itemTokens(index, vocabulary, item).entries()) {
          tokens[at] = previous
          positions[at] = position++
          segments[at] = segment
          if (i >= given) {
            targets[at] = target
            nodes[at] = path[step]!
            weights[at] = weight
            losses++
            total += weight
          }
          at++
          previous = target
        }
      }
    }
  }
  for (let i = 0; i < size; i++) weights[i] = weights[i]! / (total > 0 ? total : 1)
  return { rows: rows.length, length, tokens, positions, segments, targets, weights, nodes, losses }
}

/** Marks the columns of a node's children and end in a row of a boolean table; the row begins at `base`. */
export const markLegal = (
  { trie }: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  node: number,
  legal: Uint8Array,
  base: number
): void => {
  const codes = Trie.children(trie, node)
  for (const code of codes) legal[base + code] = 1
  if (codes.length > 0 && Trie.itemCount(trie, node) > 0) legal[base + LevelHead.columns(vocabulary) - 1] = 1
}

/**
 * Prompts with the trees of their candidates, packed into B `rows` of T `length` positions, with an explicit attention
 * mask.
 */
export interface TreeRows extends CandidateTrees.CandidateTrees {
  readonly rows: number
  readonly length: number
  readonly tokens: Int32Array
  readonly positions: Int32Array
  /** Additive attention mask, [B, 1, T, T]. */
  readonly mask: Float32Array
  /** Flat index into [B, T] of the position that predicts the children of each inner node, [R]. */
  readonly predictors: Int32Array
}

/**
 * Positions of a row of trees, about, unless a tree is longer: longer rows are filled better, but attention is quadratic.
 */
export const treeRow = 128

/**
 * Assigns lengths to as few rows as hold them at `capacity` positions, longest first, each to the row that is filled
 * least (Graham 1969); returns row and offset of each, and the length of the fullest row.
 */
const packed = (lengths: ReadonlyArray<number>, capacity: number) => {
  const rows = Math.ceil(lengths.reduce((a, b) => a + b, 0) / capacity)
  const filled = Array.from({ length: rows }, () => 0)
  const places = lengths.map(() => ({ row: 0, offset: 0 }))
  for (const g of lengths.map((_, g) => g).toSorted((a, b) => lengths[b]! - lengths[a]! || a - b)) {
    const row = filled.indexOf(Math.min(...filled))
    places[g] = { row, offset: filled[row]! }
    filled[row] = filled[row]! + lengths[g]!
  }
  return { places, rows, length: Math.max(...filled) }
}

/** Tokens of codes, and what a position sees. */
export interface TreeOptions {
  /** Token id of row 0 of the vocabulary. @default 0 */
  readonly base?: number | undefined
  /** Positions that a position attends to, itself and those before it. @default all */
  readonly window?: number | undefined
}

/**
 * Lays out prompts, [P] tokens each, with their trees: the tokens of the prompt, then one position for every inner node
 * on the paths of its candidates. A node attends to the prompt, its ancestors and itself, so candidates share the prompt
 * and their common prefixes; several prompts share a row and do not attend to each other. `masked` is the value of the
 * mask where attention is not allowed.
 */
export const trees = (
  space: LeafSpace,
  vocabulary: CompactVocabulary.CompactVocabulary,
  groups: ReadonlyArray<{ readonly tokens: Int32Array; readonly leaves: Int32Array }>,
  masked: number,
  { base = 0, window = Infinity }: TreeOptions = {}
): TreeRows => {
  const parent = (node: number) => space.parent(node)
  const token = (node: number) => base + CompactVocabulary.token(vocabulary, space.level(node) - 1, space.code(node))
  const tree = CandidateTrees.make(space, groups, LevelHead.columns(vocabulary) - 1)
  const plans = groups.map(({ tokens }, g) => ({
    tokens,
    inner: tree.nodes.subarray(tree.first[g]! + 1, tree.first[g + 1])
  }))
  const lengths = plans.map((plan) => plan.tokens.length + plan.inner.length)
  const { length, places, rows } = packed(lengths, Math.max(treeRow, ...lengths))
  const size = rows * length
  const tokens = new Int32Array(size)
  const positions = new Int32Array(size)
  const mask = new Float32Array(size * length).fill(masked)
  for (let at = 0; at < size; at++) mask[at * length + at % length] = 0
  const predictors = new Int32Array(tree.nodes.length)
  for (const [g, plan] of plans.entries()) {
    const { offset, row } = places[g]!
    const start = row * length + offset
    const prefix = plan.tokens.length
    const column = new Map(Array.from(plan.inner, (node, i) => [node, i]))
    const see = (from: number, to: number) => {
      if (positions[start + from]! - positions[start + to]! < window) mask[(start + from) * length + offset + to] = 0
    }
    for (let t = 0; t < prefix; t++) {
      tokens[start + t] = plan.tokens[t]!
      positions[start + t] = t
      for (let s = 0; s < t; s++) see(t, s)
    }
    predictors[tree.first[g]!] = start + prefix - 1
    for (const [i, node] of plan.inner.entries()) {
      const at = prefix + i
      tokens[start + at] = token(node)
      positions[start + at] = prefix + space.level(node) - 1
      for (let s = 0; s < prefix; s++) see(at, s)
      for (let up = parent(node); up > 0; up = parent(up)) see(at, prefix + column.get(up)!)
      predictors[tree.first[g]! + 1 + i] = start + at
    }
  }
  return { ...tree, rows, length, tokens, positions, mask, predictors }
}

/** Returns the number of tokens of a prompt. */
export const promptLength = (index: SidIndex, history: Int32Array, positions: number): number =>
  lastItems(index, history, positions - 1).reduce((sum, item) => sum + itemLength(index, item), 1)
