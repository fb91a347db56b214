/**
 * Byte-level BPE as a pure function of its definition: texts to token ids and back, exactly as Hugging Face's fast
 * tokenizers, without tokens that the text does not have.
 */
import * as Effect from "effect/Effect"
import * as AddedTokens from "./AddedTokens.ts"
import * as ByteAlphabet from "./ByteAlphabet.ts"
import * as BytePairs from "./BytePairs.ts"
import * as Normalizer from "./Normalizer.ts"
import * as PreTokenizer from "./PreTokenizer.ts"
import { badField } from "./TokenizerError.ts"
import type * as TokenizerFile from "./TokenizerFile.ts"

/** Ids of the tokens with a part to play in prompts; undefined where the tokenizer names none. */
export interface RoleIds {
  readonly bos: number | undefined
  readonly eos: number | undefined
  readonly pad: number | undefined
}

/** Tokenizer of texts; V is its number of ids. */
export interface Tokenizer {
  /** Number of ids V: the largest id plus one. */
  readonly size: number
  readonly roles: RoleIds
  /** Returns the ids of a text; nothing is put before or after it. */
  readonly encode: (text: string) => Int32Array
  /**
   * Returns the text of ids; ids without a token are skipped, bytes that are no UTF-8 become U+FFFD.
   * `skipSpecial` leaves special tokens out. @default false
   */
  readonly decode: (ids: Iterable<number>, options?: { readonly skipSpecial?: boolean }) => string
  /** Returns the id of a token, written as in the vocabulary (`Ġthe`), or of an added token. */
  readonly idOf: (token: string) => number | undefined
  /** Returns the token of an id. */
  readonly tokenOf: (id: number) => string | undefined
}

/** Most pieces whose ids are remembered, and the longest of them. */
const remembered = { pieces: 2 ** 16, length: 64 }

/** Builds the tokenizer of a definition. */
export const make = Effect.fn("ByteLevelBpe.make")(function*(definition: TokenizerFile.Definition) {
  const { added, file, ignoresMerges, merges, roles, vocabulary } = definition
  const normalize = yield* Normalizer.make(definition.normalizer, file)
  const split = yield* PreTokenizer.make(definition.preTokenizer, file)
  const byteIds = new Int32Array(256)
  for (const [byte, character] of ByteAlphabet.characters.entries()) {
    const id = vocabulary.get(character)
    if (id === undefined) {
      return yield* badField(file, `model.vocab[${JSON.stringify(character)}]`, undefined, `an id of the byte ${byte}`)
    }
    byteIds[byte] = id
  }
  const ranks = new Map<number, number>()
  const results = new Int32Array(merges.length)
  for (const [rank, [left, right]] of merges.entries()) {
    const ids = [left, right, left + right].map((token) => vocabulary.get(token))
    const missing = ids.indexOf(undefined)
    if (missing >= 0) {
      const token = [left, right, left + right][missing]!
      return yield* badField(file, `model.merges[${rank}]`, `${left} ${right}`, `a vocabulary with ${token}`)
    }
    ranks.set(BytePairs.pair(ids[0]!, ids[1]!), rank)
    results[rank] = ids[2]!
  }
  const tokens = new Map<number, string>()
  for (const [token, id] of vocabulary) tokens.set(id, token)
  const addedById = new Map(added.map((token) => [token.id, token]))
  for (const { content, id } of added) tokens.set(id, content)
  const idsOfAdded = new Map(added.map(({ content, id }) => [content, id]))
  const idOf = (token: string) => idsOfAdded.get(token) ?? vocabulary.get(token)
  const findRaw = AddedTokens.finder(added.filter(({ normalized }) => !normalized))
  const findNormalized = AddedTokens.finder(added.filter(({ normalized }) => normalized), normalize)

  const encoder = new TextEncoder()
  const pieces = new Map<string, ReadonlyArray<number>>()
  const idsOfPiece = (piece: string): ReadonlyArray<number> => {
    const known = pieces.get(piece)
    if (known !== undefined) return known
    const whole = ignoresMerges ? vocabulary.get(ByteAlphabet.spell(piece)) : undefined
    const ids = whole !== undefined
      ? [whole]
      : BytePairs.merge({ ranks, results }, Array.from(encoder.encode(piece), (byte) => byteIds[byte]!))
    if (piece.length <= remembered.length) {
      if (pieces.size >= remembered.pieces) pieces.clear()
      pieces.set(piece, ids)
    }
    return ids
  }
  const encode = (text: string): Int32Array => {
    const ids: Array<number> = []
    for (const raw of findRaw(text.toWellFormed())) {
      if (typeof raw !== "string") {
        ids.push(raw.id)
        continue
      }
      for (const part of findNormalized(normalize(raw))) {
        if (typeof part !== "string") ids.push(part.id)
        else for (const piece of split(part)) for (const id of idsOfPiece(piece)) ids.push(id)
      }
    }
    return Int32Array.from(ids)
  }

  const decode = (ids: Iterable<number>, options: { readonly skipSpecial?: boolean } = {}): string => {
    const parts: Array<Uint8Array> = []
    for (const id of ids) {
      const token = tokens.get(id)
      if (token === undefined) continue
      const own = addedById.get(id)
      if (own?.special === true && options.skipSpecial === true) continue
      parts.push(own === undefined ? ByteAlphabet.bytes(token) : encoder.encode(token))
    }
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    // A byte order mark is part of the text.
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
  }
  const roleId = (token: string | undefined) => token === undefined ? undefined : idOf(token)
  const size = tokens.keys().reduce((most, id) => Math.max(most, id), -1) + 1
  const tokenizer: Tokenizer = {
    size,
    roles: { bos: roleId(roles.bos), eos: roleId(roles.eos), pad: roleId(roles.pad) },
    encode,
    decode,
    idOf,
    tokenOf: (id) => tokens.get(id)
  }
  return tokenizer
})
