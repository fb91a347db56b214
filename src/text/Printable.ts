/**
 * Escaping of texts from files for printing: control characters could move the cursor, change colours, or reverse the
 * reading direction, so they are written as escapes (`\x1b`, `\u202e`).
 */

/** C0 except tab and line feed, DEL, C1, line separators, and directional overrides and isolates. */
// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

const wide = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

const shown = (character: string): string =>
  character < "\u0100" ? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}` : wide(character)

/** Escapes the control characters of a text, except line feeds and tabs. */
export const text = (value: string): string => value.replaceAll(control, shown)

/** Escapes the control characters of a value within a line, such as a title; line feeds and tabs become spaces. */
export const line = (value: string): string => text(value.replaceAll(/\r?\n|\t/g, " "))

/** Returns a value as JSON with all control characters escaped; it parses to the same value. */
export const json = (value: unknown): string => JSON.stringify(value).replaceAll(control, wide)
