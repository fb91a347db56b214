/**
 * The smallest vocabulary that can write SIDs: one row per level and code, and one to begin with.
 */
import { type SidIndex } from "../../sid/SidIndex.ts"
import * as Trie from "../../sid/trie/Trie.ts"

/** Token ids: 0 begins a sequence, ends a SID that another goes on from, and fills padding; then the codes of level 0, of level 1 and so on. */
export interface CompactVocabulary {
  /** Rows of the embedding, a multiple of 8; the rows past the last code are never legal. */
  readonly size: number
  /** Id of code 0 of each level. */
  readonly offsets: ReadonlyArray<number>
  /** Codes of each level. */
  readonly sizes: ReadonlyArray<number>
  /** Whether a SID ends where another one goes on. */
  readonly ends: boolean
}

/** The token that begins a sequence. */
export const begin = 0

/** The token that ends a SID which begins another one: nothing else is written with it, so it needs no row of its own. */
export const end = 0

/** Returns whether an item ends at a node that has children. */
const endsEarly = (trie: Trie.Trie): boolean => {
  for (let node = trie.firstEnd; node < trie.levelStart[trie.depth]!; node++) {
    if (Trie.itemCount(trie, node) > 0 && Trie.childCount(trie, node) > 0) return true
  }
  return false
}

/** The vocabulary of an index. */
export const make = (index: SidIndex): CompactVocabulary => {
  const offsets: Array<number> = []
  let next = 1
  for (const codes of index.codebookSizes) {
    offsets.push(next)
    next += codes
  }
  return { size: Math.ceil(next / 8) * 8, offsets, sizes: index.codebookSizes, ends: endsEarly(index.trie) }
}

/** The token of a code at a level. */
export const token = (vocabulary: CompactVocabulary, level: number, code: number): number =>
  vocabulary.offsets[level]! + code
