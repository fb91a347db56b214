/**
 * The compact vocabulary of SIDs: one token per level and code, and one token that begins a sequence.
 */
import { type SidIndex } from "../../sid/SidIndex.ts"

/**
 * Token ids: 0 begins a sequence, ends a SID that is a prefix of another SID, and fills padding; from 1 on stand the
 * codes of level 0, then those of level 1 and so on.
 */
export interface CompactVocabulary {
  /** Rows of the embedding, V, a multiple of 8; rows past the last code are never legal. */
  readonly size: number
  /** Token id of code 0 of each level, [L]. */
  readonly offsets: ReadonlyArray<number>
}

/** Token that begins a sequence. */
export const begin = 0

/** Token that ends a SID which is a prefix of another SID. It shares row 0 with `begin`, which is never a target. */
export const end = 0

/** Builds the vocabulary of an index. */
export const make = (index: SidIndex): CompactVocabulary => {
  const offsets: Array<number> = []
  let next = 1
  for (const codes of index.codebookSizes) {
    offsets.push(next)
    next += codes
  }
  return { size: Math.ceil(next / 8) * 8, offsets }
}

/** Returns the token of code `code` at level `level`, both from 0. */
export const token = (vocabulary: CompactVocabulary, level: number, code: number): number =>
  vocabulary.offsets[level]! + code
