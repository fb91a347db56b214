/**
 * Words of texts in any script, and the normalisation for comparing them.
 *
 * A word is a run of letters, marks and digits that begins with a letter or digit. Apostrophes, hyphens and underscores
 * separate words; format characters (joiners, soft hyphens, direction marks) are ignored. Han, kana, Thai, Lao, Khmer
 * and Myanmar are written without spaces: every character with its marks is one word, and pairs of neighbouring
 * characters (the bigrams of `Lsa`, parts of titles in a search) take the place of words. Segmentation by a dictionary
 * would change with the version of the runtime and is about ten times slower.
 */
import { decodeHTMLStrict } from "entities"

const beyondAscii = /[\u0080-\uffff]/

/**
 * Compatibility variants of whole letters: ligatures, Arabic presentation, half and full width, mathematical alphabets.
 */
const variants = /[\ufb00-\ufdff\ufe70-\ufeff\uff00-\uffef\u{1d400}-\u{1d7ff}]+/gu

/** Format characters and variation selectors, which are invisible. */
const formatting = /[\p{Cf}\ufe00-\ufe0f\u{e0100}-\u{e01ef}]+/gu

/**
 * Normalises letters to composed form (NFC) and usual width, without format characters.
 *
 * NFKC is not applied to the whole text, because it turns "lego™" into "legotm" and "1½" into "11⁄2".
 */
export const compose = (text: string): string =>
  beyondAscii.test(text)
    ? text.replaceAll(variants, (part) => part.normalize("NFKC")).normalize("NFC").replaceAll(formatting, "")
    : text

/** Decodes HTML entities (`&amp;`, `&#233;`). */
export const unescape = (text: string): string => (text.includes("&") ? decodeHTMLStrict(text) : text)

const ascii = /[a-z0-9]+/g

const unspaced = "\\p{scx=Han}\\p{scx=Hiragana}\\p{scx=Katakana}\\p{scx=Thai}\\p{scx=Lao}\\p{scx=Khmer}\\p{scx=Myanmar}"

const anyScript = new RegExp(
  `[[${unspaced}]&&[\\p{L}\\p{N}]]\\p{M}*|[[\\p{L}\\p{N}]--[${unspaced}]][[\\p{L}\\p{M}\\p{N}]--[${unspaced}]]*`,
  "gv"
)

/** Returns the words of plain text, in lower case. */
export const ofPlain = (text: string): ReadonlyArray<string> =>
  (beyondAscii.test(text)
    ? compose(text).toLowerCase().match(anyScript)
    : text.toLowerCase().match(ascii)) ?? []

/** Returns the words of a text that may contain markup and entities, in lower case. */
export const of = (text: string): ReadonlyArray<string> =>
  ofPlain(unescape(text.includes("<") ? text.replaceAll(/<[^>]*>/g, " ") : text))

/** Normalises spelling: lower case, and one kind of quotes, dashes and spaces. */
export const spelled = (text: string): string =>
  compose(unescape(text)).toLowerCase().replaceAll(/[\u2018-\u201b\u2032\u00b4`]/g, "'")
    .replaceAll(/[\u201c-\u201f\u2033\u00ab\u00bb]/g, "\"").replaceAll(/[\u2010-\u2015\u2212]/g, "-")
    .replaceAll("\u2026", "...").replaceAll(/\s+/g, " ").trim()

/** Removes accents: "résumé" becomes "resume". Marks outside U+0300 .. U+036F, such as vowel signs, stay. */
export const withoutAccents = (text: string): string =>
  beyondAscii.test(text) ? text.normalize("NFD").replaceAll(/[\u0300-\u036f]/g, "").normalize("NFC") : text

/** Returns whether a text is prose: at least two words of letters, or a script without spaces. */
export const isProse = (text: string): boolean => {
  const spoken = ofPlain(text).filter((word) => /^\p{L}/u.test(word))
  return spoken.length > 1 && (/\s/.test(text.trim()) || beyondAscii.test(text))
}
