/**
 * Tokens that stand beside the merges: special ones such as `<|endoftext|>`, and SID tokens. They are found in a text
 * before anything else, at each place the longest.
 */
import { type Normalizer } from "./Normalizer.ts"

/** Token found in texts as a whole. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  /** Whether the token is only found between characters that belong to no word. */
  readonly singleWord: boolean
  /** Whether white space before the token belongs to it. */
  readonly leftStrip: boolean
  /** Whether white space after the token belongs to it. */
  readonly rightStrip: boolean
  /** Whether the token is looked for in the normalised text, in its own normal form. */
  readonly normalized: boolean
  /** Whether decoding may skip the token. */
  readonly special: boolean
}

/** Returns an ordinary added token, as `add_tokens` of transformers makes it. */
export const plain = (content: string, id: number): AddedToken => ({
  id,
  content,
  singleWord: false,
  leftStrip: false,
  rightStrip: false,
  normalized: true,
  special: false
})

/** Part of a text: a token, or text without tokens. */
export type Part = AddedToken | string

/** Function from a text to its parts, none of which is empty. */
export type Finder = (text: string) => ReadonlyArray<Part>

interface Node {
  readonly next: Map<number, Node>
  token?: AddedToken
}

const endsWithWord = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u
const startsWithWord = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u
const spaceAtEnd = /\p{White_Space}*$/u
const spaceAtStart = /^\p{White_Space}*/u

/** Builds the finder of tokens; `write` returns the text of a token as it is looked for. */
export const finder = (tokens: ReadonlyArray<AddedToken>, write: Normalizer = (text) => text): Finder => {
  const root: Node = { next: new Map() }
  for (const token of tokens) {
    let node = root
    const content = write(token.content)
    if (content === "") continue
    for (let i = 0; i < content.length; i++) {
      const code = content.charCodeAt(i)
      let child = node.next.get(code)
      if (child === undefined) node.next.set(code, child = { next: new Map() })
      node = child
    }
    node.token ??= token
  }
  if (root.next.size === 0) return (text) => text === "" ? [] : [text]
  return (text) => {
    const parts: Array<Part> = []
    let done = 0
    for (let at = 0; at < text.length;) {
      let found: AddedToken | undefined
      let stop = at
      let node: Node | undefined = root
      for (let i = at; i < text.length; i++) {
        node = node.next.get(text.charCodeAt(i))
        if (node === undefined) break
        if (node.token !== undefined) [found, stop] = [node.token, i + 1]
      }
      if (found === undefined) {
        at++
        continue
      }
      let start = at
      at = stop
      if (found.singleWord && (endsWithWord.test(text.slice(0, start)) || startsWithWord.test(text.slice(stop)))) {
        continue
      }
      if (found.leftStrip) start = Math.max(done, start - spaceAtEnd.exec(text.slice(0, start))![0].length)
      if (found.rightStrip) stop += spaceAtStart.exec(text.slice(stop))![0].length
      if (start > done) parts.push(text.slice(done, start))
      parts.push(found)
      done = stop
    }
    if (done < text.length) parts.push(text.slice(done))
    return parts
  }
}
