/**
 * A trie that changes while it is used: items come and go, and a request sees only what it may, without a rebuild.
 *
 * The arrays of the trie stay as they are. New nodes are numbered after them, and a count of live items below every
 * node decides what is legal: a prefix whose last item is withdrawn is gone at once. Changing an item costs its L
 * levels; a view without some items costs these items' levels, whatever the catalogue's size.
 */
import * as Trie from "./Trie.ts"

/** What a decoder asks. */
export interface TrieView {
  /** Whether a live item stands at the node or below. */
  isAlive(node: number): boolean
  /** The live child of a node by code, -1 when there is none. */
  child(node: number, code: number): number
  /** The codes of live children, ascending. */
  children(node: number): ReadonlyArray<number>
  /** The live items whose SID ends at the node, ascending. */
  items(node: number): ReadonlyArray<number>
  /** The node of a prefix, -1 when no live SID begins with it. */
  find(codes: ArrayLike<number>): number
}

/** A trie that can be edited. */
export interface LiveTrie extends TrieView {
  /** Number of live items. */
  readonly size: number
  /** Puts a new or withdrawn item at a SID and gives its node; an item that is there already moves. */
  insert(item: number, codes: ArrayLike<number>): number
  /** Takes an item away; gives whether it was there. */
  withdraw(item: number): boolean
  /** The trie as it is now less some items: what one request sees. */
  without(items: Iterable<number>): TrieView
  /** The trie as it is now with only the items that are kept: one pass over all of them. */
  only(keep: (item: number) => boolean): TrieView
  /** A trie of the live items alone, for saving or decoding at full speed; leaf item i of it is `items[i]` here. */
  rebuild(): { readonly trie: Trie.Trie; readonly items: Int32Array }
}

/** An editable trie over an immutable one. */
export const make = (trie: Trie.Trie): LiveTrie => {
  const below = Trie.itemsBelow(trie)
  const addedBelow: Array<number> = []
  const addedParent: Array<number> = []
  const addedCode: Array<number> = []
  /** New children of old and new nodes, by code. */
  const added = new Map<number, Map<number, number>>()
  /** Items that ended elsewhere when the arrays were made. */
  const joined = new Map<number, Set<number>>()
  const original = Trie.leaves(trie)
  /** Where changed items end now, -1 for nowhere. */
  const changed = new Map<number, number>()
  let size = trie.itemsAt.length

  const nodeOf = (item: number): number => changed.get(item) ?? original[item] ?? -1
  const parentOf = (node: number): number =>
    node < trie.nodes ? Trie.parent(trie, node) : addedParent[node - trie.nodes]!
  const countOf = (node: number): number => (node < trie.nodes ? below[node]! : addedBelow[node - trie.nodes]!)
  const change = (leaf: number, by: number) => {
    for (let node = leaf; node >= 0; node = parentOf(node)) {
      if (node < trie.nodes) below[node] = below[node]! + by
      else addedBelow[node - trie.nodes] = addedBelow[node - trie.nodes]! + by
    }
    size += by
  }
  const anyChild = (node: number, code: number): number => {
    const base = node < trie.nodes ? Trie.child(trie, node, code) : -1
    return base >= 0 ? base : added.get(node)?.get(code) ?? -1
  }

  const view = (count: (node: number) => number, sees: (item: number) => boolean): TrieView => {
    const child = (node: number, code: number): number => {
      const found = anyChild(node, code)
      return found >= 0 && count(found) > 0 ? found : -1
    }
    return {
      isAlive: (node) => count(node) > 0,
      child,
      children: (node) => {
        const base = node < trie.nodes
          ? Trie.childNodes(trie, node).filter((one) => count(one) > 0).map((one) => Trie.code(trie, one))
          : []
        const more = added.get(node)
        if (more === undefined) return base
        return [...base, ...[...more].flatMap(([code, one]) => (count(one) > 0 ? [code] : []))].toSorted((a, b) =>
          a - b
        )
      },
      items: (node) => {
        const base = node < trie.nodes ? [...Trie.items(trie, node)].filter((item) => nodeOf(item) === node) : []
        const more = joined.get(node)
        return (more === undefined ? base : [...base, ...more].toSorted((a, b) => a - b)).filter(sees)
      },
      find: (codes) => {
        let node = 0
        for (let level = 0; level < codes.length && node >= 0; level++) node = child(node, codes[level]!)
        return node
      }
    }
  }

  const withdraw = (item: number): boolean => {
    const node = nodeOf(item)
    if (node < 0) return false
    joined.get(node)?.delete(item)
    changed.set(item, -1)
    change(node, -1)
    return true
  }

  const every = view(countOf, () => true)
  const live: LiveTrie = {
    ...every,
    get size() {
      return size
    },
    insert: (item, codes) => {
      withdraw(item)
      let node = 0
      for (let level = 0; level < codes.length; level++) {
        const code = codes[level]!
        let next = anyChild(node, code)
        if (next < 0) {
          next = trie.nodes + addedBelow.length
          addedBelow.push(0)
          addedParent.push(node)
          addedCode.push(code)
          const siblings = added.get(node)
          if (siblings === undefined) added.set(node, new Map([[code, next]]))
          else siblings.set(code, next)
        }
        node = next
      }
      if (node < trie.nodes && original[item] === node) changed.delete(item)
      else {
        changed.set(item, node)
        const here = joined.get(node)
        if (here === undefined) joined.set(node, new Set([item]))
        else here.add(item)
      }
      change(node, 1)
      return node
    },
    withdraw,
    without: (items) => {
      const missing = new Set<number>()
      const less = new Map<number, number>()
      for (const item of items) {
        if (missing.has(item)) continue
        missing.add(item)
        for (let node = nodeOf(item); node >= 0; node = parentOf(node)) less.set(node, (less.get(node) ?? 0) + 1)
      }
      return view((node) => countOf(node) - (less.get(node) ?? 0), (item) => !missing.has(item))
    },
    only: (keep) => {
      const counts = new Int32Array(trie.nodes + addedBelow.length)
      const count = (item: number) => {
        if (!keep(item)) return
        for (let node = nodeOf(item); node >= 0; node = parentOf(node)) counts[node] = counts[node]! + 1
      }
      for (let item = 0; item < original.length; item++) if (!changed.has(item)) count(item)
      for (const item of changed.keys()) count(item)
      return view((node) => counts[node] ?? 0, keep)
    },
    rebuild: () => {
      const codesOf = (leaf: number): Int32Array => {
        const path: Array<number> = []
        let node = leaf
        for (; node >= trie.nodes; node = addedParent[node - trie.nodes]!) path.push(addedCode[node - trie.nodes]!)
        return Int32Array.from([...Trie.codes(trie, node), ...path.toReversed()])
      }
      const kept = Array.from(original.keys()).filter((item) => !changed.has(item))
      for (const [item, node] of changed) if (node >= 0) kept.push(item)
      const items = Int32Array.from(kept).toSorted()
      return { trie: Trie.build(Array.from(items, (item) => codesOf(nodeOf(item)))), items }
    }
  }
  return live
}
