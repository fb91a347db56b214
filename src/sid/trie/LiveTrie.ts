/**
 * A trie that changes while it is used: items come and go, and every request keeps the state that it began with.
 *
 * The arrays of the trie stay as they are. New nodes are numbered after them, and what edits have changed lies beside
 * them in persistent maps, so that a snapshot costs nothing and an edit its L levels, whatever the catalogue's size. A
 * prefix whose last item is withdrawn is gone from the next snapshot on.
 */
import * as HashMap from "effect/HashMap"
import * as LeafSpace from "./LeafSpace.ts"
import * as Trie from "./Trie.ts"

/** A trie that can be edited. */
export interface LiveTrie {
  /** Number of live items. */
  readonly size: number
  /** Inserts an item at a SID and returns its node; an item that is already in the trie moves. */
  insert(item: number, codes: ArrayLike<number>): number
  /** Withdraws an item; returns whether it was in the trie. */
  withdraw(item: number): boolean
  /** Space of the current live items, unaffected by later edits. */
  snapshot(): LeafSpace.LeafSpace
  /** Builds a trie of only the live items, for saving or faster decoding; its item i is `items[i]` here. */
  rebuild(): { readonly trie: Trie.Trie; readonly items: Int32Array }
}

/** State of the trie after edits; every map is persistent. */
interface State {
  readonly version: number
  readonly size: number
  readonly width: number
  readonly depth: number
  readonly nodes: number
  /** Node at which the SID of each changed item ends, -1 for a withdrawn item. */
  readonly changed: HashMap.HashMap<number, number>
  /** Inserted and moved items, by the node at which their SIDs end now. */
  readonly joined: HashMap.HashMap<number, ReadonlyArray<number>>
  /** New children, ascending by code. */
  readonly added: HashMap.HashMap<number, ReadonlyArray<number>>
  /** Number of live items at or below a node, minus that in the arrays. */
  readonly more: HashMap.HashMap<number, number>
}

const lookup = <A>(map: HashMap.HashMap<number, A>, key: number): A | undefined => {
  const found = HashMap.get(map, key)
  return found._tag === "Some" ? found.value : undefined
}

/** Makes an editable trie over an immutable one. */
export const make = (trie: Trie.Trie): LiveTrie => {
  const below = Trie.itemsBelow(trie)
  const original = Trie.leaves(trie)
  // Parents and codes of new nodes never change, so all states share them.
  const addedParent: Array<number> = []
  const addedCode: Array<number> = []
  const parentOf = (node: number): number =>
    node < trie.nodes ? Trie.parent(trie, node) : addedParent[node - trie.nodes]!
  const codeOf = (node: number): number => node < trie.nodes ? Trie.code(trie, node) : addedCode[node - trie.nodes]!
  const leafIn = (state: State, item: number): number => lookup(state.changed, item) ?? original[item] ?? -1

  let state: State = {
    version: 0,
    size: trie.itemsAt.length,
    width: trie.widest,
    depth: trie.depth,
    nodes: trie.nodes,
    changed: HashMap.empty(),
    joined: HashMap.empty(),
    added: HashMap.empty(),
    more: HashMap.empty()
  }

  const spaceOf = (state: State): LeafSpace.LeafSpace => {
    const { added, joined, more } = state
    const isAlive = (node: number) => (below[node] ?? 0) + (lookup(more, node) ?? 0) > 0
    const children = (node: number, into: Int32Array): number => {
      let count = 0
      if (node < trie.nodes) {
        const first = Trie.firstChild(trie, node)
        const all = Trie.childCount(trie, node)
        for (let child = first; child < first + all; child++) if (isAlive(child)) into[count++] = child
      }
      for (const child of lookup(added, node) ?? []) {
        if (!isAlive(child)) continue
        let at = count++
        for (; at > 0 && codeOf(into[at - 1]!) > codeOf(child); at--) into[at] = into[at - 1]!
        into[at] = child
      }
      return count
    }
    const buffer = new Int32Array(state.width)
    const items = (node: number): Int32Array => {
      const here = node < trie.nodes
        ? Trie.items(trie, node).filter((item) => lookup(state.changed, item) === undefined)
        : new Int32Array(0)
      const others = lookup(joined, node)
      return others === undefined ? here : Int32Array.from([...here, ...others]).toSorted()
    }
    const space: LeafSpace.LeafSpace = {
      version: state.version,
      width: state.width,
      depth: state.depth,
      nodes: state.nodes,
      get whole() {
        return space
      },
      children,
      childCount: (node) => children(node, buffer),
      parent: parentOf,
      code: codeOf,
      level: (node) => {
        let [at, level] = [node, 0]
        for (; at >= trie.nodes; level++) at = parentOf(at)
        return level + Trie.level(trie, at)
      },
      ends: (node) => items(node).length > 0,
      items,
      leaf: (item) => leafIn(state, item)
    }
    return space
  }

  const change = (leaf: number, by: number): HashMap.HashMap<number, number> =>
    HashMap.mutate(state.more, (more) => {
      for (let node = leaf; node >= 0; node = parentOf(node)) HashMap.set(more, node, (lookup(more, node) ?? 0) + by)
    })

  const withdraw = (item: number): boolean => {
    const node = leafIn(state, item)
    if (node < 0) return false
    const here = lookup(state.joined, node)
    state = {
      ...state,
      version: state.version + 1,
      size: state.size - 1,
      changed: HashMap.set(state.changed, item, -1),
      joined: here === undefined
        ? state.joined
        : HashMap.set(state.joined, node, here.filter((other) => other !== item)),
      more: change(node, -1)
    }
    return true
  }

  const childOf = (node: number, code: number): number => {
    const stored = node < trie.nodes ? Trie.child(trie, node, code) : -1
    return stored >= 0 ? stored : lookup(state.added, node)?.find((child) => codeOf(child) === code) ?? -1
  }

  const insert = (item: number, codes: ArrayLike<number>): number => {
    withdraw(item)
    let node = 0
    let { added, nodes, width } = state
    for (let level = 0; level < codes.length; level++) {
      const code = codes[level]!
      let next = node < state.nodes ? childOf(node, code) : -1
      if (next < 0) {
        next = nodes++
        addedParent.push(node)
        addedCode.push(code)
        const siblings = [...(lookup(added, node) ?? []), next].toSorted((a, b) => codeOf(a) - codeOf(b))
        added = HashMap.set(added, node, siblings)
        width = Math.max(width, siblings.length + (node < trie.nodes ? Trie.childCount(trie, node) : 0))
      }
      node = next
    }
    const back = original[item] === node
    state = {
      version: state.version + 1,
      size: state.size + 1,
      width,
      depth: Math.max(state.depth, codes.length),
      nodes,
      added,
      changed: back ? HashMap.remove(state.changed, item) : HashMap.set(state.changed, item, node),
      joined: back ? state.joined : HashMap.set(state.joined, node, [...(lookup(state.joined, node) ?? []), item]),
      more: change(node, 1)
    }
    return node
  }

  let space = spaceOf(state)
  return {
    get size() {
      return state.size
    },
    insert,
    withdraw,
    snapshot: () => space.version === state.version ? space : (space = spaceOf(state)),
    rebuild: () => {
      const kept = Array.from(original.keys()).filter((item) => !HashMap.has(state.changed, item))
      for (const [item, node] of state.changed) if (node >= 0) kept.push(item)
      const items = Int32Array.from(kept).toSorted()
      const now = spaceOf(state)
      const codes = (item: number) => LeafSpace.path(now, now.leaf(item)).map(codeOf)
      return { trie: Trie.build(Array.from(items, codes)), items }
    }
  }
}
