/**
 * SIDs in the vocabulary of a text tokenizer: one token per level and code that occurs, `<a_12>`.
 */
import * as Effect from "effect/Effect"
import * as SidIndex from "../../sid/SidIndex.ts"
import type { Tokenizer } from "../../tokenizer/ByteLevelBpe.ts"
import { TokenizerError, UnknownToken } from "../../tokenizer/TokenizerError.ts"

/** Token ids of the SIDs of a catalogue. */
export interface SidTokens {
  /** Token id of each code of each level, [L][K_l]; -1 for a code that no item has. */
  readonly levels: ReadonlyArray<Int32Array>
  /** Token ids of each item's SID, whatever its length, [N]. */
  readonly items: ReadonlyArray<Int32Array>
  /** Token ids of each item's SID where it is an answer, which may have an end, [N]. @default `items` */
  readonly answers?: ReadonlyArray<Int32Array> | undefined
  /** Ids of all SID tokens, ascending, [S]. */
  readonly ids: Int32Array
}

/**
 * Returns the SID tokens that occur in a catalogue in the order in which they are added to a vocabulary: that of strings,
 * as in MiniOneRec. `>` sorts after the digits, so that `<c_99>` precedes `<c_9>`.
 */
export const vocabulary = (sids: ReadonlyArray<ArrayLike<number>>): ReadonlyArray<string> =>
  [...new Set(sids.flatMap((codes) => SidIndex.tokens(codes)))].toSorted((a, b) => a < b ? -1 : 1)

/** Finds the SID tokens in a tokenizer; fails with `UnknownToken` for one that was not added. */
export const make = Effect.fn("SidTokens.make")(function*(
  tokenizer: Tokenizer,
  { codebookSizes, sids }: Pick<SidIndex.SidIndex, "codebookSizes" | "sids">
) {
  const levels = codebookSizes.map((size) => new Int32Array(size).fill(-1))
  const items: Array<Int32Array> = []
  const all = new Set<number>()
  for (const codes of sids) {
    const own = new Int32Array(codes.length)
    for (const [level, token] of SidIndex.tokens(codes).entries()) {
      const id = tokenizer.idOf(token)
      if (id === undefined) {
        const remedy = "add the tokens of the catalogue's SIDs first (SidTokens.vocabulary, TokenizerFile.extend)"
        return yield* new TokenizerError({ reason: new UnknownToken({ token, size: tokenizer.size, remedy }) })
      }
      own[level] = id
      levels[level]![codes[level]!] = id
      all.add(id)
    }
    items.push(own)
  }
  const tokens: SidTokens = { levels, items, ids: Int32Array.from(all).toSorted() }
  return tokens
})
