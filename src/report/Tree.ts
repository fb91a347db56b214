/**
 * Tree of SIDs as nested lists with item titles.
 */
import { type Item } from "../catalog/Dataset.ts"
import { type SidIndex } from "../sid/SidIndex.ts"
import * as Trie from "../sid/trie/Trie.ts"
import { html, type Markup, raw } from "./Html.ts"

const mostChildren = 24

/** Renders the `most` first codes with the most items as nested lists. */
export const render = (index: SidIndex, items: ReadonlyArray<Item>, most: number): Markup => {
  const { trie } = index
  const below = Trie.itemsBelow(trie)
  const titles = (node: number, limit: number): ReadonlyArray<string> => {
    const found: Array<string> = []
    const queue = [node]
    while (queue.length > 0 && found.length < limit) {
      const at = queue.shift()!
      for (const item of Trie.items(trie, at)) if (found.length < limit) found.push(items[item]!.title)
      queue.push(...Trie.childNodes(trie, at))
    }
    return found
  }
  const childrenOf = (node: number): ReadonlyArray<number> =>
    Trie.childNodes(trie, node).toSorted((a, b) => below[b]! - below[a]!)
  const draw = (node: number): Markup => {
    const name = `<${String.fromCharCode(96 + Trie.level(trie, node))}_${Trie.code(trie, node)}>`
    const children = childrenOf(node)
    if (children.length === 0) return html`<li><code>${name}</code> ${titles(node, 3).join(" · ")}</li>`
    const shown = children.slice(0, mostChildren)
    return html`<li><details><summary><code>${name}</code> ${below[node]!} items <span class="quiet">${
      titles(node, 2).join(" · ")
    }</span></summary><ul>${shown.map(draw)}${
      children.length > shown.length ? html`<li class="quiet">and ${children.length - shown.length} more</li>` : raw("")
    }</ul></details></li>`
  }
  const roots = childrenOf(0)
  return html`<ul class="tree">${roots.slice(0, most).map(draw)}${
    roots.length > most ? html`<li class="quiet">and ${roots.length - most} more first codes</li>` : raw("")
  }</ul>`
}
