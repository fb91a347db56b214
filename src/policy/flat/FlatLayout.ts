/**
 * Histories as flat rows of tokens: a beginning, then one position per code.
 */
import { type SidIndex } from "../../sid/SidIndex.ts"
import * as Trie from "../../sid/trie/Trie.ts"
import * as Random from "../../statistics/Random.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"

/** Rows of packed sequences, row-major [B, T]; targets and weights at positions without a loss are 0. */
export interface PackedRows {
  readonly rows: number
  readonly length: number
  readonly tokens: Int32Array
  readonly positions: Int32Array
  readonly segments: Int32Array
  readonly targets: Int32Array
  readonly weights: Float32Array
  /** The trie node whose children are the legal targets, -1 at positions without a loss. */
  readonly nodes: Int32Array
  readonly losses: number
}

/** The last items that fit into `positions` positions after the beginning. */
export const lastItems = (index: SidIndex, history: Int32Array, positions: number): Int32Array => {
  let used = 0
  let from = history.length
  while (from > 0) {
    const length = index.sids[history[from - 1]!]!.length
    if (used + length > positions) break
    used += length
    from--
  }
  return history.subarray(from)
}

/** Tokens of a prompt: the beginning and the codes of the history. */
export const prompt = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  history: Int32Array,
  positions: number
): Int32Array => {
  const items = lastItems(index, history, positions - 1)
  const tokens: Array<number> = [CompactVocabulary.begin]
  for (const item of items) {
    for (const [level, code] of index.sids[item]!.entries()) {
      tokens.push(CompactVocabulary.token(vocabulary, level, code))
    }
  }
  return Int32Array.from(tokens)
}

/** Trie nodes before each code of an item: the root, then the prefixes. */
const nodesOnPath = (index: SidIndex, item: number): Array<number> => {
  const path: Array<number> = []
  let node = index.leafOf[item]!
  while (node > 0) {
    node = Trie.parent(index.trie, node)
    path.push(node)
  }
  return path.toReversed()
}

/**
 * Packs sequences into rows of `length` tokens without padding between them, first fit over a window of open rows, in
 * an order drawn from (seed, epoch); then cuts the rows into batches of about `batchTokens` tokens.
 */
export const pack = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  sequences: ReadonlyArray<Int32Array>,
  options: { readonly length: number; readonly batchTokens: number; readonly seed: number; readonly epoch: number }
): ReadonlyArray<PackedRows> => {
  const { batchTokens, length } = options
  const order = Random.permutation(sequences.length, options.seed, options.epoch)
  const rows: Array<{ readonly members: Array<Int32Array>; used: number }> = []
  let open: Array<{ readonly members: Array<Int32Array>; used: number }> = []
  for (const which of order) {
    const items = lastItems(index, sequences[which]!, length)
    if (items.length === 0) continue
    let size = 0
    for (const item of items) size += index.sids[item]!.length
    let row = open.find((candidate) => candidate.used + size <= length)
    if (row === undefined) {
      row = { members: [], used: 0 }
      rows.push(row)
      open.push(row)
      if (open.length > 48) open = open.slice(1)
    }
    row.members.push(items)
    row.used += size
    if (row.used > length - 4) open = open.filter((candidate) => candidate !== row)
  }
  const rowsPerBatch = Math.max(1, Math.round(batchTokens / length))
  const batches: Array<PackedRows> = []
  for (let at = 0; at < rows.length; at += rowsPerBatch) {
    batches.push(fill(index, vocabulary, rows.slice(at, at + rowsPerBatch).map((row) => row.members), length))
  }
  return batches
}

/**
 * Lays out rows of sequences. A sequence of n codes takes n positions: the beginning and all codes but the last are
 * read, all codes are targets.
 */
const fill = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  rows: ReadonlyArray<ReadonlyArray<Int32Array>>,
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
  for (const [r, members] of rows.entries()) {
    let at = r * length
    for (const [segment, items] of members.entries()) {
      let previous = CompactVocabulary.begin
      let position = 0
      for (const item of items) {
        const path = nodesOnPath(index, item)
        for (const [level, code] of index.sids[item]!.entries()) {
          const target = CompactVocabulary.token(vocabulary, level, code)
          tokens[at] = previous
          positions[at] = position++
          segments[at] = segment
          targets[at] = target
          nodes[at] = path[level]!
          weights[at] = 1
          losses++
          at++
          previous = target
        }
      }
    }
  }
  for (let i = 0; i < size; i++) weights[i] = weights[i]! / Math.max(1, losses)
  return { rows: rows.length, length, tokens, positions, segments, targets, weights, nodes, losses }
}

/** Marks the tokens of the children of `nodes[row]` in a boolean table [rows, V]; rows with node -1 stay all legal. */
export const legalTokens = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  nodes: Int32Array,
  legal: Uint8Array
): void => {
  const { trie } = index
  const width = vocabulary.size
  legal.fill(0)
  for (let row = 0; row < nodes.length; row++) {
    const node = nodes[row]!
    if (node < 0) {
      legal.fill(1, row * width, (row + 1) * width)
      continue
    }
    const base = row * width + vocabulary.offsets[Trie.level(trie, node)]!
    for (const code of Trie.children(trie, node)) legal[base + code] = 1
  }
}

/** Rows of prompts with the trees of their candidates, [B, T] with an explicit mask. */
export interface TreeRows {
  readonly rows: number
  readonly length: number
  readonly tokens: Int32Array
  readonly positions: Int32Array
  /** Additive mask [B, 1, T, T]. */
  readonly mask: Float32Array
  /** Flat positions that predict, one for every internal node of every tree, and the node itself. */
  readonly predictors: Int32Array
  readonly nodes: Int32Array
  /** Edges of the trees: the row of `predictors` they leave, and the token they write. */
  readonly edgeRow: Int32Array
  readonly edgeToken: Int32Array
  /** For group g, candidate c, level l: the edge it takes. */
  readonly paths: ReadonlyArray<ReadonlyArray<Int32Array>>
}

/**
 * One row per prompt: its tokens, then one position for every inner node that its candidates pass. A node sees the
 * prompt, its ancestors and itself, so candidates share the prompt and each other's prefixes.
 */
export const trees = (
  index: SidIndex,
  vocabulary: CompactVocabulary.CompactVocabulary,
  groups: ReadonlyArray<{ readonly history: Int32Array; readonly leaves: Int32Array }>,
  promptPositions: number,
  masked: number
): TreeRows => {
  const { trie } = index
  const parent = (node: number) => Trie.parent(trie, node)
  const token = (node: number) => CompactVocabulary.token(vocabulary, Trie.level(trie, node) - 1, Trie.code(trie, node))
  const plans = groups.map(({ history, leaves }) => {
    const tokens = prompt(index, vocabulary, history, promptPositions)
    const inner: Array<number> = []
    const column = new Map<number, number>()
    const visit = (node: number) => {
      if (node <= 0 || column.has(node)) return
      visit(parent(node))
      column.set(node, inner.length)
      inner.push(node)
    }
    for (const leaf of leaves) visit(parent(leaf))
    return { tokens, inner, column, leaves }
  })
  const length = Math.max(...plans.map((plan) => plan.tokens.length + plan.inner.length))
  const size = plans.length * length
  const tokens = new Int32Array(size)
  const positions = new Int32Array(size)
  const mask = new Float32Array(size * length).fill(masked)
  const predictors: Array<number> = []
  const nodes: Array<number> = []
  const edgeRow: Array<number> = []
  const edgeToken: Array<number> = []
  const paths: Array<Array<Int32Array>> = []
  for (const [g, plan] of plans.entries()) {
    const start = g * length
    const prefix = plan.tokens.length
    const see = (from: number, to: number) => {
      mask[(start + from) * length + to] = 0
    }
    for (let t = 0; t < length; t++) see(t, t)
    for (let t = 0; t < prefix; t++) {
      tokens[start + t] = plan.tokens[t]!
      positions[start + t] = t
      for (let s = 0; s < t; s++) see(t, s)
    }
    const rowOf = new Map<number, number>([[0, predictors.length]])
    predictors.push(start + prefix - 1)
    nodes.push(0)
    for (const [i, node] of plan.inner.entries()) {
      const at = prefix + i
      tokens[start + at] = token(node)
      positions[start + at] = prefix + Trie.level(trie, node) - 1
      for (let s = 0; s < prefix; s++) see(at, s)
      for (let up = parent(node); up > 0; up = parent(up)) see(at, prefix + plan.column.get(up)!)
      rowOf.set(node, predictors.length)
      predictors.push(start + at)
      nodes.push(node)
    }
    const edgeOf = new Map<number, number>()
    paths.push(Array.from(plan.leaves, (leaf) => {
      const path: Array<number> = []
      for (let node = leaf; node > 0; node = parent(node)) {
        let edge = edgeOf.get(node)
        if (edge === undefined) {
          edge = edgeRow.length
          edgeOf.set(node, edge)
          edgeRow.push(rowOf.get(parent(node))!)
          edgeToken.push(token(node))
        }
        path.push(edge)
      }
      return Int32Array.from(path.toReversed())
    }))
  }
  return {
    rows: plans.length,
    length,
    tokens,
    positions,
    mask,
    predictors: Int32Array.from(predictors),
    nodes: Int32Array.from(nodes),
    edgeRow: Int32Array.from(edgeRow),
    edgeToken: Int32Array.from(edgeToken),
    paths
  }
}
