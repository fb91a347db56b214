/**
 * Python literals: strings, numbers, True, False, None, lists, tuples, dictionaries. They are parsed, never evaluated.
 */
import { createRequire } from "node:module"
import * as Packages from "../../run/Packages.ts"

/** Value of a literal; lone surrogates are kept. */
export type PythonValue =
  | string
  | number
  | boolean
  | null
  | ReadonlyArray<PythonValue>
  | { readonly [key: string]: PythonValue }

class NotALiteral extends Error {}

const escapes: Readonly<Record<string, string>> = {
  "\\": "\\",
  "'": "'",
  "\"": "\"",
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\n": ""
}

const unicode = Packages.required<{ unicodeName(character: string): string | undefined }>(
  "unicode-name",
  createRequire(import.meta.url)
)

/** Returns the character of a Unicode name, by a linear search: such names are rare. */
const characterOf = (name: string): string | undefined => {
  const { unicodeName } = unicode()
  for (let code = 0x20; code < 0x3_0000; code++) {
    if (unicodeName(String.fromCodePoint(code)) === name.toUpperCase()) return String.fromCodePoint(code)
  }
  return undefined
}

/** Parses the whole text; throws when it is not a literal. */
const parse = (text: string): PythonValue => {
  let at = 0
  const fail = (): never => {
    throw new NotALiteral(`no Python literal at ${at}`)
  }
  const skip = () => {
    while (at < text.length && /\s/.test(text[at]!)) at++
  }
  const take = (symbol: string): boolean => {
    skip()
    if (!text.startsWith(symbol, at)) return false
    at += symbol.length
    return true
  }
  const hex = (digits: number): string => {
    const code = text.slice(at, at + digits)
    if (code.length < digits || !/^[\da-fA-F]+$/.test(code)) fail()
    at += digits
    const value = Number.parseInt(code, 16)
    if (value > 0x10_ffff) fail()
    return String.fromCodePoint(value)
  }
  const named = (): string => {
    const name = /^\{([^}]+)\}/.exec(text.slice(at))
    const found = name === null ? undefined : characterOf(name[1]!)
    if (found === undefined) return fail()
    at += name![0].length
    return found
  }
  const oneString = (): string => {
    const prefix = /^(?:[rR]?[uU]?|[uU])/.exec(text.slice(at))![0]
    at += prefix.length
    const raw = /r/i.test(prefix)
    const mark = text[at]!
    const triple = text.startsWith(mark.repeat(3), at)
    const end = triple ? mark.repeat(3) : mark
    at += end.length
    let out = ""
    while (true) {
      if (at >= text.length) fail()
      if (text.startsWith(end, at)) {
        at += end.length
        return out
      }
      const symbol = text[at++]!
      if (symbol === "\n" && !triple) fail()
      if (symbol !== "\\") {
        out += symbol
        continue
      }
      if (raw) {
        out += symbol + (text[at++] ?? "")
        continue
      }
      const next = text[at++]
      if (next === undefined) return fail()
      if (next in escapes) out += escapes[next]!
      else if (next === "x") out += hex(2)
      else if (next === "u") out += hex(4)
      else if (next === "U") out += hex(8)
      else if (next === "N") out += named()
      else if (/[0-7]/.test(next)) {
        const octal = /^[0-7]{1,3}/.exec(text.slice(at - 1))![0]
        at += octal.length - 1
        out += String.fromCodePoint(Number.parseInt(octal, 8))
      } else out += `\\${next}`
    }
  }
  const isString = () => /^(?:[rRuU]{0,2})['"]/.test(text.slice(at, at + 3))
  const items = (close: string): { readonly values: Array<PythonValue>; readonly commas: number } => {
    const values: Array<PythonValue> = []
    let commas = 0
    while (!take(close)) {
      if (values.length > commas) fail()
      values.push(value())
      if (take(",")) commas++
      else {
        if (!take(close)) fail()
        break
      }
    }
    return { values, commas }
  }
  const value = (): PythonValue => {
    skip()
    if (isString()) {
      let out = oneString()
      // Adjacent strings are concatenated.
      for (skip(); isString(); skip()) out += oneString()
      return out
    }
    if (take("[")) return items("]").values
    if (take("(")) {
      const { commas, values } = items(")")
      return values.length === 1 && commas === 0 ? values[0]! : values
    }
    if (take("{")) {
      const entries: Array<[string, PythonValue]> = []
      while (!take("}")) {
        const key = value()
        if (!take(":")) fail()
        entries.push([String(key), value()])
        if (!take(",")) {
          if (!take("}")) fail()
          break
        }
      }
      return Object.fromEntries(entries)
    }
    const word = /^(?:True|False|None)\b/.exec(text.slice(at, at + 6))?.[0]
    if (word !== undefined) {
      at += word.length
      return word === "None" ? null : word === "True"
    }
    const based = /^[+-]?0(?:[xX][\da-fA-F_]+|[oO][0-7_]+|[bB][01_]+)/.exec(text.slice(at, at + 64))?.[0]
    if (based !== undefined) {
      at += based.length
      if (/[\w.]/.test(text[at] ?? "")) fail()
      const size = Number(based.replaceAll("_", "").replace(/^[+-]/, ""))
      return based.startsWith("-") ? -size : size
    }
    const number = /^[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/.exec(text.slice(at, at + 64))?.[0]
    if (number === undefined) return fail()
    at += number.length
    if (/[\w.]/.test(text[at] ?? "")) fail()
    const digits = number.replace(/^[+-]/, "")
    if (/^0\d/.test(digits) && !/[.eE]/.test(digits) && !/^0+$/.test(digits)) fail()
    return Number(number.replaceAll("_", ""))
  }
  const found = value()
  skip()
  if (at < text.length) fail()
  return found
}

/** Returns the value of a literal, undefined for other texts. */
export const tryParse = (text: string): PythonValue | undefined => {
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof NotALiteral || error instanceof RangeError) return undefined
    throw error
  }
}

/** Returns the list in a cell, undefined for other texts. */
export const tryParseList = (text: string): ReadonlyArray<PythonValue> | undefined => {
  const value = tryParse(text)
  return Array.isArray(value) && text.trimStart().startsWith("[") ? value : undefined
}

const printed: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" }

const ofString = (text: string): string => {
  const mark = text.includes("'") && !text.includes("\"") ? "\"" : "'"
  let out = mark
  for (const symbol of text) {
    const code = symbol.codePointAt(0)!
    if (symbol === mark) out += `\\${symbol}`
    else if (symbol in printed) out += printed[symbol]!
    else if (symbol !== " " && /[\p{C}\p{Z}]/u.test(symbol)) {
      out += code < 0x100
        ? `\\x${code.toString(16).padStart(2, "0")}`
        : code < 0x1_0000
        ? `\\u${code.toString(16).padStart(4, "0")}`
        : `\\U${code.toString(16).padStart(8, "0")}`
    } else out += symbol
  }
  return out + mark
}

/** Formats a JSON value as Python's `repr` does. */
export const print = (value: PythonValue): string => {
  if (typeof value === "string") return ofString(value)
  if (value === null) return "None"
  if (value === true || value === false) return value ? "True" : "False"
  if (typeof value === "number") return String(value)
  if (Array.isArray(value)) return `[${(value as ReadonlyArray<PythonValue>).map(print).join(", ")}]`
  return `{${Object.entries(value).map(([key, one]) => `${ofString(key)}: ${print(one)}`).join(", ")}}`
}
