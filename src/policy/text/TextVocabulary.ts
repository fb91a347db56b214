/**
 * Vocabulary of a text policy: the tokens of a folder's tokenizer, and the SID tokens of the catalogue, which have rows
 * of their own in the order of the compact vocabulary.
 *
 * Ids of the model are those of the tokenizer for text, and V + row for the SID tokens, with V the rows of the folder's
 * embedding. The tokenizer's ids of SID tokens are those after its last one, as in the folder that is written.
 */
import * as Effect from "effect/Effect"
import { type SidIndex } from "../../sid/SidIndex.ts"
import * as Trie from "../../sid/trie/Trie.ts"
import { masked } from "../../tensor/Attention.ts"
import * as ByteLevelBpe from "../../tokenizer/ByteLevelBpe.ts"
import * as TokenizerFile from "../../tokenizer/TokenizerFile.ts"
import * as CompactVocabulary from "../flat/CompactVocabulary.ts"
import * as SidTokens from "./SidTokens.ts"
import { type TextCodec } from "./TextCodec.ts"

/** Token that ends a SID which is a prefix of another SID. */
export const endToken = "<sid_end>"

/** Vocabulary of a text policy. */
export interface TextVocabulary {
  /** The folder's tokenizer with the SID tokens. */
  readonly definition: TokenizerFile.Definition
  readonly codec: TextCodec
  readonly compact: CompactVocabulary.CompactVocabulary
  /** Tokenizer's id of each row of the compact vocabulary, [R]; -1 for a row without a token. */
  readonly ids: Int32Array
  /** Number of ids of the folder's own tokenizer. */
  readonly own: number
  /** Text before prompts: the tokenizer's beginning. @default none */
  readonly beginning: string | undefined
  /** Tokenizer's id after an answer: its end. @default none */
  readonly end: number | undefined
}

/** Extends a tokenizer by the SID tokens of an index, and by an end token where a SID is a prefix of another. */
export const make = Effect.fn("TextVocabulary.make")(function*(before: TokenizerFile.Definition, index: SidIndex) {
  const compact = CompactVocabulary.make(index)
  const definition = TokenizerFile.extend(before, [
    ...SidTokens.vocabulary(index.sids),
    ...(compact.ends ? [endToken] : [])
  ])
  const tokenizer = yield* ByteLevelBpe.make(definition)
  const sids = yield* SidTokens.make(tokenizer, index)
  const ids = new Int32Array(compact.size).fill(-1)
  for (const [level, codes] of sids.levels.entries()) ids.set(codes, compact.offsets[level])
  const end = compact.ends ? tokenizer.idOf(endToken)! : -1
  ids[CompactVocabulary.end] = end
  const vocabulary: TextVocabulary = {
    definition,
    codec: {
      tokenizer,
      sids: {
        ...sids,
        answers: sids.items.map((tokens, item) =>
          Trie.childCount(index.trie, index.leafOf[item]!) > 0 ? Int32Array.of(...tokens, end) : tokens
        )
      }
    },
    compact,
    ids,
    own: TokenizerFile.size(before),
    beginning: before.roles.bos,
    end: tokenizer.roles.eos
  }
  return vocabulary
})

/** Returns the function from ids of the tokenizer to ids of a model whose embedding has `rows` rows. */
export const toModel = ({ codec, ids }: TextVocabulary, rows: number): (tokens: Int32Array) => Int32Array => {
  const known = Int32Array.from({ length: codec.tokenizer.size }, (_, id) => id)
  for (const [row, id] of ids.entries()) if (id >= 0) known[id] = rows + row
  return (tokens) => tokens.map((id) => known[id]!)
}

/**
 * Returns the biases with which a model counts every token once: `text` [V] hides the rows of the embedding whose ids are
 * SID tokens, `codes` [R] those of the compact vocabulary without a token.
 */
export const biases = (
  { ids }: TextVocabulary,
  rows: number
): { readonly text: Float32Array; readonly codes: Float32Array } => {
  const text = new Float32Array(rows)
  for (const id of ids) if (id >= 0 && id < rows) text[id] = masked
  return { text, codes: Float32Array.from(ids, (id) => id < 0 ? masked : 0) }
}
