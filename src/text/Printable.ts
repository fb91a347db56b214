/**
 * Texts from files made safe to print: control characters could move the cursor, change colours, or reverse the reading
 * direction, so they are escaped (`\x1b`, `\u202e`) instead.
 */

/** C0 but tab and line feed, DEL, C1, separators of lines, and overrides and isolates of direction. */
// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

const wide = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

const shown = (character: string): string =>
  character < "\u0100" ? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}` : wide(character)

/** Escapes control characters of a text; line feeds and tabs stay. */
export const text = (value: string): string => value.replaceAll(control, shown)

/** Escapes control characters of a value within a line, such as a title; line feeds and tabs become blanks. */
export const line = (value: string): string => text(value.replaceAll(/\r?\n|\t/g, " "))

/** Writes a value as JSON with all control characters escaped; it parses to the same value. */
export const json = (value: unknown): string => JSON.stringify(value).replaceAll(control, wide)
