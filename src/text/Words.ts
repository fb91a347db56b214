/**
 * Words of texts in any script, and the normalisation by which words are compared.
 *
 * A word is a run of letters, marks and digits that begins with a letter or digit; apostrophes, hyphens and underscores
 * part words, and characters of format (joiners, soft hyphens, marks of direction) are as if they were not there. Han,
 * kana, Thai, Lao, Khmer and Myanmar are written without spaces: there every character with its marks is a word of its
 * own, and what pairs of neighbouring words say (the bigrams of `Lsa`, parts of titles in a search) stands for words. A
 * dictionary's segmentation would change with the version of the runtime, and takes some ten times as long.
 */
import { decodeHTMLStrict } from "entities"

const beyondAscii = /[\u0080-\uffff]/

/** Compatibility variants of whole letters: ligatures, Arabic presentation, half and full width, mathematical alphabets. */
const variants = /[\ufb00-\ufdff\ufe70-\ufeff\uff00-\uffef\u{1d400}-\u{1d7ff}]+/gu

/** Format characters and variation selectors, which are invisible. */
const formatting = /[\p{Cf}\ufe00-\ufe0f\u{e0100}-\u{e01ef}]+/gu

/**
 * Normalises letters: composed (NFC), of usual width, without format characters.
 *
 * Not NFKC as a whole, which makes a word "legotm" of a trade mark sign and 11 of 1½.
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

/** Returns the words of a text that may hold markup and entities, in lower case. */
export const of = (text: string): ReadonlyArray<string> =>
  ofPlain(unescape(text.includes("<") ? text.replaceAll(/<[^>]*>/g, " ") : text))

/** Normalises spelling: lower case, one kind of quotes, dashes and blanks. */
export const spelled = (text: string): string =>
  compose(unescape(text)).toLowerCase().replaceAll(/[\u2018-\u201b\u2032\u00b4`]/g, "'")
    .replaceAll(/[\u201c-\u201f\u2033\u00ab\u00bb]/g, "\"").replaceAll(/[\u2010-\u2015\u2212]/g, "-")
    .replaceAll("\u2026", "...").replaceAll(/\s+/g, " ").trim()

/** Removes accents: "résumé" becomes "resume". Marks of scripts in which they are vowels stay. */
export const withoutAccents = (text: string): string =>
  beyondAscii.test(text) ? text.normalize("NFD").replaceAll(/[\u0300-\u036f]/g, "").normalize("NFC") : text

/** Tells whether a text is prose: at least two words of letters, or a script without spaces. */
export const isProse = (text: string): boolean => {
  const spoken = ofPlain(text).filter((word) => /^\p{L}/u.test(word))
  return spoken.length > 1 && (/\s/.test(text.trim()) || beyondAscii.test(text))
}
