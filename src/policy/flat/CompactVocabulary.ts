/**
 * Compact vocabulary of SIDs: one token per level and code, and one token that begins a sequence.
 */
import { type SidIndex } from "../../sid/SidIndex.ts"
import * as Trie from "../../sid/trie/Trie.ts"

/**
 * Token ids. 0 begins a sequence, ends a SID that is a prefix of another SID, and is the padding; the codes of level 0
 * begin at 1, followed by those of level 1 and so on.
 */
export interface CompactVocabulary {
  /** Rows of the embedding, V, a multiple of 8; rows past the last code are never legal. */
  readonly size: number
  /** Token id of code 0 of each level, [L]. */
  readonly offsets: ReadonlyArray<number>
  /** Number of codes of each level, [L]. */
  readonly sizes: ReadonlyArray<number>
  /** Whether a SID is a prefix of another SID. */
  readonly ends: boolean
}

/** Token that begins a sequence. */
export const begin = 0

/** Token that ends a SID which is a prefix of another SID. It shares row 0 with `begin`, which is never a target. */
export const end = 0

/** Returns whether an item ends at a node that has children. */
const endsEarly = (trie: Trie.Trie): boolean => {
  for (let node = trie.firstEnd; node < trie.levelStart[trie.depth]!; node++) {
    if (Trie.itemCount(trie, node) > 0 && Trie.childCount(trie, node) > 0) return true
  }
  return false
}

/** Builds the vocabulary of an index. */
export const make = (index: SidIndex): CompactVocabulary => {
  const offsets: Array<number> = []
  let next = 1
  for (const codes of index.codebookSizes) {
    offsets.push(next)
    next += codes
  }
  return { size: Math.ceil(next / 8) * 8, offsets, sizes: index.codebookSizes, ends: endsEarly(index.trie) }
}

/** Returns the token of code `code` at level `level`, both from 0. */
export const token = (vocabulary: CompactVocabulary, level: number, code: number): number =>
  vocabulary.offsets[level]! + code
