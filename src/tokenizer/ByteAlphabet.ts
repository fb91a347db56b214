/**
 * The alphabet of byte-level BPE: one printable character for each of the 256 bytes, as in GPT-2.
 *
 * Printable characters of Latin-1 are their own; the other bytes take the code points from U+0100 in order, so that a
 * space is written `Ġ` and a line feed `Ċ`.
 */

const isOwn = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)

/** Characters of the bytes 0 .. 255. */
export const characters: ReadonlyArray<string> = (() => {
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isOwn(byte) ? byte : next++))
})()

const byteOf = new Map(characters.map((character, byte) => [character, byte]))

const encoder = new TextEncoder()

/** Returns the bytes of a text in UTF-8, each written as its character. */
export const spell = (text: string): string => {
  let spelled = ""
  for (const byte of encoder.encode(text)) spelled += characters[byte]!
  return spelled
}

/** Returns the bytes of a spelled token; a token with a character outside the alphabet is plain text in UTF-8. */
export const bytes = (token: string): Uint8Array => {
  const result = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const byte = byteOf.get(token[i]!)
    if (byte === undefined) return encoder.encode(token)
    result[i] = byte
  }
  return result
}
