/**
 * Finds items by what people type: a title, the beginning or a part of one.
 */
import { CatalogError, EmptyHistory, UnknownItem } from "./CatalogError.ts"
import { type Item } from "./Dataset.ts"

const plain = (text: string) => text.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, " ").trim()

/** The item with this key or title; else the one title that begins with or contains the text. */
export const find = (items: ReadonlyArray<Item>, text: string): number | CatalogError => {
  const wanted = plain(text)
  const titles = items.map((item) => plain(item.title))
  const exact = items.findIndex((item, i) => item.key === text.trim() || titles[i] === wanted)
  if (exact >= 0) return exact
  if (wanted !== "") {
    for (const test of [(title: string) => title.startsWith(wanted), (title: string) => title.includes(wanted)]) {
      const found = titles.flatMap((title, i) => (test(title) ? [i] : []))
      if (found.length > 0) return found[0]!
    }
  }
  return new CatalogError({ reason: new UnknownItem({ item: text.trim(), near: near(items, titles, wanted) }) })
}

/** The three titles that share most words with a text. */
const near = (items: ReadonlyArray<Item>, titles: ReadonlyArray<string>, wanted: string): ReadonlyArray<string> => {
  const words = new Set(wanted.split(" "))
  return titles
    .map((title, i) => ({ i, shared: title.split(" ").filter((word) => words.has(word)).length }))
    .filter(({ shared }) => shared > 0)
    .toSorted((a, b) => b.shared - a.shared || a.i - b.i)
    .slice(0, 3)
    .map(({ i }) => items[i]!.title)
}

/** The items of `"title; title"`, oldest first. */
export const history = (items: ReadonlyArray<Item>, text: string): Int32Array | CatalogError => {
  const parts = text.split(";").map((part) => part.trim()).filter((part) => part !== "")
  if (parts.length === 0) return new CatalogError({ reason: new EmptyHistory() })
  const found: Array<number> = []
  for (const part of parts) {
    const item = find(items, part)
    if (typeof item !== "number") return item
    found.push(item)
  }
  return Int32Array.from(found)
}
