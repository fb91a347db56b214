/**
 * Token ids of prompts and answers in text: strings by the tokenizer, items by their SID tokens.
 *
 * Every string segment is tokenised by itself, so that a boundary between segments is one between tokens. Nothing is put
 * before, between or after the segments: a beginning is a segment of its own, and the end is the caller's.
 */
import type { Tokenizer } from "../../tokenizer/ByteLevelBpe.ts"
import { type Segment } from "../Prompt.ts"
import { type SidTokens } from "./SidTokens.ts"

/** Tokenizer with the SID tokens of the catalogue. */
export interface TextCodec {
  readonly tokenizer: Tokenizer
  readonly sids: SidTokens
}

/** Example as token ids; the loss is on the answer. */
export interface EncodedExample {
  /** Prompt and answer, [T]. */
  readonly ids: Int32Array
  /** Position of the answer's first token; the positions from here are the targets. */
  readonly answer: number
}

/** Returns the token ids of segments; those of items are by default `sids.items`. */
export const encode = (
  { sids, tokenizer }: TextCodec,
  segments: ReadonlyArray<Segment>,
  items: ReadonlyArray<Int32Array> = sids.items
): Int32Array => {
  const parts = segments.map((segment) =>
    typeof segment === "string" ? tokenizer.encode(segment) : items[segment.item]!
  )
  const ids = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    ids.set(part, at)
    at += part.length
  }
  return ids
}

/** Options of an encoded example. */
export interface EncodeOptions {
  /** Token after the answer, which has a loss. @default none */
  readonly end?: number | undefined
  /** Most positions; a longer example loses its beginning. @default no limit */
  readonly maximum?: number | undefined
}

/** Returns the token ids of a prompt and its answer. */
export const encodeExample = (
  codec: TextCodec,
  prompt: ReadonlyArray<Segment>,
  answer: ReadonlyArray<Segment>,
  options: EncodeOptions = {}
): EncodedExample => {
  const { end, maximum = Infinity } = options
  const before = encode(codec, prompt)
  const after = encode(codec, answer, codec.sids.answers)
  const ids = Int32Array.from([...before, ...after, ...(end === undefined ? [] : [end])])
  const cut = Math.max(0, ids.length - maximum)
  return { ids: ids.subarray(cut), answer: Math.max(0, before.length - cut) }
}

/** Returns the text of segments, items as `<a_1><b_2>`. */
export const textOf = ({ sids, tokenizer }: TextCodec, segments: ReadonlyArray<Segment>): string =>
  segments.map((segment) => typeof segment === "string" ? segment : tokenizer.decode(sids.items[segment.item]!)).join(
    ""
  )
