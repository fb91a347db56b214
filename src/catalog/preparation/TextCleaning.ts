/**
 * Cleaning of item texts as in MiniOneRec, before embedding (rq/text2emb) and in data preparation, with Python's
 * definitions of letters, white space and entities.
 */
import { decodeHTML } from "entities"
import * as PythonLiteral from "../reader/PythonLiteral.ts"

/** White space of Python's `str.strip`. */
const space = "\\t\\n\\v\\f\\r\\u001c-\\u001f \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
const around = new RegExp(`^[${space}]+|[${space}]+$`, "gu")

/** Strips white space at both ends, as Python's `str.strip()`. */
export const strip = (text: string): string => text.replaceAll(around, "")

/** Returns whether Python's `html.unescape` drops a code point. */
const isRefused = (code: number): boolean =>
  (code >= 1 && code <= 8) || code === 0xb || (code >= 0xe && code <= 0x1f) || (code >= 0x7f && code <= 0x9f) ||
  (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe

const numeric = (digits: string, base: number): string => {
  const code = Number.parseInt(digits, base)
  // As in browsers, the C1 range is read as windows-1252; undefined code points stay control characters.
  if (code >= 0x80 && code <= 0x9f) return decodeHTML(`&#${code};`)
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff) || !(code <= 0x10_ffff)) return "\ufffd"
  if (code === 0x0d) return "\r"
  return isRefused(code) ? "" : String.fromCodePoint(code)
}

/** Decodes entities as Python's `html.unescape`: named ones with and without semicolon, numeric ones by its tables. */
export const unescape = (text: string): string =>
  text.replaceAll(
    /&(?:#(\d+);?|#[xX]([\da-fA-F]+);?|[^\t\n\f <&#;]{1,32};?)/g,
    (whole, decimal: string | undefined, hexadecimal: string | undefined) =>
      decimal !== undefined
        ? numeric(decimal, 10)
        : hexadecimal !== undefined
        ? numeric(hexadecimal, 16)
        : decodeHTML(whole)
  )

const most = 2000

/** Replaces trailing dots, except at the first character, by one; a text of `most` code points or more becomes "". */
const finish = (text: string): string => {
  const points = [...text]
  let end = points.length
  while (end > 1 && points[end - 1] === ".") end--
  const kept = [...points.slice(0, end), "."]
  return kept.length >= most ? "" : kept.join("")
}

const cleanString = (text: string): string =>
  unescape(strip(text)).replaceAll(/<\/?[\p{L}\p{N}_][^>]*>/gu, "").replaceAll(/["\n\r]/g, "")

/** Cleans a text as `clean_text` of the encoder script; undefined where Python raises, for a list with non-strings. */
export const clean = (value: PythonLiteral.PythonValue): string | undefined => {
  if (typeof value === "string") return finish(cleanString(value))
  if (Array.isArray(value)) {
    const parts = value as ReadonlyArray<PythonLiteral.PythonValue>
    return parts.every((part) => typeof part === "string")
      ? finish(parts.map(cleanString).join(" "))
      : undefined
  }
  const printed = PythonLiteral.print(value)
  return finish(cleanString(typeof value === "object" && value !== null ? printed.slice(1, -1) : printed))
}

/** Returns the text of an item: its cleaned title and description. */
export const itemText = (item: Readonly<Record<string, PythonLiteral.PythonValue>>): string => {
  const parts = ["title", "description"].flatMap((field) => {
    const cleaned = field in item ? clean(item[field]!) : undefined
    return cleaned === undefined || cleaned === "" ? [] : [cleaned]
  })
  return parts.length === 0 ? "unknown item" : parts.join(" ")
}

/** Cleans a text as `clean_text` of the preparation script: no markup, decoded entities, single spaces. */
export const prepare = (value: PythonLiteral.PythonValue | undefined): string => {
  if (value === undefined || value === null || value === "" || value === 0 || value === false) return ""
  if (Array.isArray(value) && value.length === 0) return ""
  const text = typeof value === "string" ? value : PythonLiteral.print(value)
  return strip(
    unescape(text.replaceAll(/<[^>]+>/g, "")).replaceAll("&quot;", "\"").replaceAll("&amp;", "&")
      .replaceAll(new RegExp(`[${space}]+`, "gu"), " ")
  )
}
