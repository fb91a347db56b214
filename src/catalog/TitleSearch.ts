/**
 * Search for items by typed text: a key, a title, the beginning of a title or a part of one.
 */
import * as Words from "../text/Words.ts"
import { AmbiguousItem, CatalogError, EmptyHistory, UnknownItem } from "./CatalogError.ts"
import { type Item } from "./Dataset.ts"

/** Titles of a catalogue, prepared for many queries. */
interface Titles {
  /** Returns the items with this key or whole title, by the strictest comparison that finds any. */
  exactly(text: string): ReadonlyArray<number>
  /** Returns the one item that matches the text, or an error. */
  find(text: string): number | CatalogError
}

const plain = (text: string): string => Words.ofPlain(Words.unescape(text)).join(" ")

/** Returns a function that computes its value at the first call and caches it. */
const lazy = <A>(compute: () => A): () => A => {
  let known: { readonly value: A } | undefined
  return () => (known ??= { value: compute() }).value
}

const listed = 5

const open = (items: ReadonlyArray<Item>): Titles => {
  /** Index of the titles under a normalisation, with the same normalisation of the query. */
  const compared = (form: (text: string) => string) => {
    const titles = lazy(() => items.map(({ title }) => form(title)))
    const having = lazy(() => Map.groupBy(items.keys(), (item) => titles()[item]!))
    return {
      titles,
      equal: (text: string): ReadonlyArray<number> => {
        const wanted = form(text)
        return wanted === "" ? [] : having().get(wanted) ?? []
      },
      where: (text: string, test: (title: string, wanted: string) => boolean): ReadonlyArray<number> => {
        const wanted = form(text)
        return wanted === "" ? [] : titles().flatMap((title, item) => (test(title, wanted) ? [item] : []))
      }
    }
  }
  const keys = lazy(() => Map.groupBy(items.keys(), (item) => items[item]!.key.normalize("NFC")))
  const asIs = compared((text) => Words.unescape(text).normalize("NFC").trim())
  const spelled = compared(Words.spelled)
  const worded = compared(plain)
  const bare = compared((text) => Words.withoutAccents(plain(text)))
  const begins = (title: string, wanted: string) => title.startsWith(wanted)
  const contains = (title: string, wanted: string) => title.includes(wanted)

  const exactly: Titles["exactly"] = (text) => {
    const asked = text.trim()
    const byKey = keys().get(asked.normalize("NFC"))
    if (byKey !== undefined) {
      const own = byKey.filter((item) => items[item]!.key === asked)
      return own.length > 0 ? own : byKey
    }
    for (const { equal } of [asIs, spelled]) {
      const found = equal(asked)
      if (found.length > 0) return found
    }
    return worded.equal(asked)
  }
  return {
    exactly,
    find: (text) => {
      const exact = exactly(text)
      if (exact.length > 0) return only(items, text, exact)
      // A text without a letter or digit matches no part of a title.
      if (plain(text) !== "") {
        for (
          const looser of [
            () => spelled.where(text, begins),
            () => worded.where(text, begins),
            () => spelled.where(text, contains),
            () => worded.where(text, contains),
            () => bare.equal(text),
            () => bare.where(text, begins),
            () => bare.where(text, contains)
          ]
        ) {
          const found = looser()
          if (found.length > 0) return only(items, text, found)
        }
      }
      return new CatalogError({
        reason: new UnknownItem({
          item: text.trim(),
          near: near(items, bare.titles(), Words.withoutAccents(plain(text)))
        })
      })
    }
  }
}

/** Returns the item found if it is the only one, else an error. */
const only = (items: ReadonlyArray<Item>, text: string, found: ReadonlyArray<number>): number | CatalogError =>
  found.length === 1 ? found[0]! : new CatalogError({
    reason: new AmbiguousItem({
      item: text.trim(),
      matches: found.length,
      first: found.slice(0, listed).map((item) => ({ key: items[item]!.key, title: items[item]!.title }))
    })
  })

/** Returns the three titles with the most words in common with a text. */
const near = (items: ReadonlyArray<Item>, titles: ReadonlyArray<string>, wanted: string): ReadonlyArray<string> => {
  const words = new Set(wanted.split(" ").filter((word) => word !== ""))
  return titles
    .map((title, i) => ({ i, shared: title.split(" ").filter((word) => words.has(word)).length }))
    .filter(({ shared }) => shared > 0)
    .toSorted((a, b) => b.shared - a.shared || a.i - b.i)
    .slice(0, 3)
    .map(({ i }) => items[i]!.title)
}

/**
 * Finds the item of a text: the one with this key, else with this title, else the one whose title begins with the text
 * or contains it. Titles are compared exactly (NFC, entities decoded), then by normalised spelling, then by words, then
 * by words without accents. Returns an error with the candidates where several items match equally.
 */
export const find = (items: ReadonlyArray<Item>, text: string): number | CatalogError => open(items).find(text)

const entity = /&#?\w+;/y
// A quotation ends before a semicolon or the end of the text; an unclosed quote is an ordinary character.
const quoted = /\s*"[^"]*"\s*(?=;|$)/y

/**
 * Returns the bounds of the parts of a history, separated by semicolons except in quotes, after `\` and in entities.
 */
const partsOf = (text: string): ReadonlyArray<readonly [from: number, to: number]> => {
  const met = (pattern: RegExp, at: number): string => {
    pattern.lastIndex = at
    return pattern.exec(text)?.[0] ?? ""
  }
  const parts: Array<readonly [number, number]> = []
  let from = 0
  for (let at = 0; at <= text.length;) {
    const whole = at === from ? met(quoted, at) : ""
    const named = text[at] === "&" ? met(entity, at) : ""
    if (whole !== "") at += whole.length
    else if (named !== "" && Words.unescape(named) !== named) at += named.length
    else if (text.startsWith("\\;", at)) at += 2
    else if (at < text.length && text[at] !== ";") at++
    if (at === text.length || text[at] === ";") {
      parts.push([from, at++])
      from = at
    }
  }
  return parts
}

/** Returns the text of a part, without its quotes or with `\;` replaced by a semicolon. */
const literal = (part: string): string => /^"([^"]*)"$/.exec(part)?.[1] ?? part.replaceAll("\\;", ";")

/**
 * Finds the items of `"title; title"`, oldest first. The longest run of consecutive parts that is itself a title or key
 * with semicolons counts as one; such a title can also be quoted, or its semicolons escaped by `\`.
 */
export const history = (items: ReadonlyArray<Item>, text: string): Int32Array | CatalogError => {
  const titles = open(items)
  const parts = partsOf(text)
  const semicolons = ({ key, title }: Item) =>
    Math.max(...[key, Words.unescape(title)].map((value) => value.split(";").length - 1))
  const own = items.flatMap((item, i) => (semicolons(item) > 0 ? [i] : []))
  const withSemicolons = open(own.map((item) => items[item]!))
  const most = own.reduce((sum, item) => Math.max(sum, semicolons(items[item]!)), 0)
  const found: Array<number> = []
  for (let at = 0; at < parts.length;) {
    const between = (to: number) => text.slice(parts[at]![0], parts[to - 1]![1]).trim()
    let to = Math.min(parts.length, at + 1 + most)
    let joined: ReadonlyArray<number> = []
    for (; to > at + 1 && joined.length === 0; to--) joined = withSemicolons.exactly(between(to))
    if (joined.length > 0) to++
    const part = between(to)
    at = to
    if (part === "") continue
    const item = joined.length > 0 ? only(items, part, joined.map((one) => own[one]!)) : titles.find(literal(part))
    if (typeof item !== "number") return item
    found.push(item)
  }
  return found.length === 0 ? new CatalogError({ reason: new EmptyHistory() }) : Int32Array.from(found)
}
