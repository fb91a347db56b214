/**
 * Count-based model over SIDs: predicts the next item's codes from the codes of the last items, by interpolated counts.
 *
 * For the last items j of a history, `P(leaf | j)` is a product over the levels of the leaf's path of
 * `P_m(t' | t) = (n(q_m, t') + c P_{m-1}(t' | t)) / (n(q_m, t) + c)`, where q_m is the prefix of m codes of j,
 * n(q, t) counts training pairs of an item under q and a later one under t, and `P_{-1}` follows the number of items
 * below (a hierarchical Dirichlet prior, MacKay and Peto 1995). The weights of the mixture over j halve with every step
 * back. Items that share a SID share its probability equally. Codes that group items with the same buyers predict well
 * from few events, so the model indicates in seconds how well a policy, which trains for minutes, can use the codes.
 */
import { type SidIndex } from "../sid/SidIndex.ts"
import * as Trie from "../sid/trie/Trie.ts"

/** A fitted model. */
export interface SidNgram {
  /** Returns the probabilities of all items to come next, [N]; they sum to 1. */
  scores(history: Int32Array): Float64Array
}

/** Number of items before the target that are its context. */
const window = 3
/** c: number of events at which a finer context has the same weight as the coarser one. */
const concentration = 4
/** Largest number of pairs counted, spread evenly over the users. */
const mostPairs = 2_000_000

const weightOf = (distance: number) => 2 ** (1 - distance)

/** Fits the model to training sequences. */
export const fit = (index: SidIndex, train: ReadonlyArray<Int32Array>): SidNgram => {
  const { leafOf, trie } = index
  const below = Trie.itemsBelow(trie)
  const parentOf = new Int32Array(trie.nodes)
  for (let node = 0; node < trie.nodes; node++) {
    const first = Trie.firstChild(trie, node)
    for (let i = Trie.childCount(trie, node) - 1; i >= 0; i--) parentOf[first + i] = node
  }
  parentOf[0] = -1
  const pathOf = (item: number): ReadonlyArray<number> => {
    const path: Array<number> = []
    for (let node = leafOf[item]!; node >= 0; node = parentOf[node]!) path.push(node)
    return path.toReversed()
  }

  /** Later nodes and their weights, by context node. */
  const counts = new Map<number, Map<number, number>>()
  const events = train.reduce((sum, sequence) => sum + Math.max(0, sequence.length - 1), 0)
  const every = Math.max(1, Math.ceil(events * window / mostPairs))
  let seen = 0
  for (const sequence of train) {
    for (let at = 1; at < sequence.length; at++) {
      if (seen++ % every !== 0) continue
      const target = pathOf(sequence[at]!)
      for (let distance = 1; distance <= Math.min(window, at); distance++) {
        for (const context of pathOf(sequence[at - distance]!)) {
          let later = counts.get(context)
          if (later === undefined) counts.set(context, later = new Map())
          for (const node of target) later.set(node, (later.get(node) ?? 0) + weightOf(distance))
        }
      }
    }
  }

  /** Computes P(node | its parent) in a context from that of the context one code shorter. */
  const refine = (coarser: Float32Array, context: number): Float32Array => {
    const later = counts.get(context)
    if (later === undefined) return coarser
    const out = coarser.slice()
    for (const node of later.keys()) {
      const first = Trie.firstChild(trie, node)
      const children = Trie.childCount(trie, node)
      const total = later.get(node)! - endsAt(later, node)
      for (let child = first; child < first + children; child++) {
        out[child] = ((later.get(child) ?? 0) + concentration * coarser[child]!) / (total + concentration)
      }
    }
    return out
  }
  // Where a SID is a prefix of another, the events that end at the node do not continue to a child.
  const endsAt = (later: ReadonlyMap<number, number>, node: number): number => {
    if (Trie.itemCount(trie, node) === 0 || Trie.childCount(trie, node) === 0) return 0
    const first = Trie.firstChild(trie, node)
    let passed = 0
    for (let i = Trie.childCount(trie, node) - 1; i >= 0; i--) passed += later.get(first + i) ?? 0
    return later.get(node)! - passed
  }

  const prior = new Float32Array(trie.nodes).fill(1)
  for (let node = 1; node < trie.nodes; node++) {
    const up = parentOf[node]!
    prior[node] = below[node]! / (below[up]! - Trie.itemCount(trie, up))
  }
  const roots = refine(prior, 0)
  const kept = new Map<number, Float32Array>()
  const conditionals = (item: number): Float32Array => {
    let found = roots
    for (const [depth, node] of pathOf(item).entries()) {
      if (depth === 0) continue
      // Contexts of the first level are reused by many items; caching deeper ones would fill the memory.
      const known = depth === 1 ? kept.get(node) : undefined
      const finer: Float32Array = known ?? refine(found, node)
      if (depth === 1 && known === undefined) kept.set(node, finer)
      found = finer
    }
    return found
  }

  return {
    scores: (history) => {
      const out = new Float64Array(leafOf.length)
      const recent = Array.from(history.subarray(-window)).toReversed()
      const total = recent.reduce((sum, _, i) => sum + weightOf(i + 1), 0)
      const mass = new Float64Array(trie.nodes)
      for (const [i, item] of recent.entries()) {
        const given = conditionals(item)
        const reach = new Float64Array(trie.nodes)
        reach[0] = weightOf(i + 1) / total
        for (let node = 0; node < trie.nodes; node++) {
          const here = Trie.itemCount(trie, node)
          // A node where a SID ends and others continue divides its mass by the numbers of items on either side.
          const stays = here / below[node]!
          const goes = 1 - stays
          mass[node] = mass[node]! + reach[node]! * stays
          const first = Trie.firstChild(trie, node)
          for (let c = Trie.childCount(trie, node) - 1; c >= 0; c--) {
            reach[first + c] = reach[node]! * goes * given[first + c]!
          }
        }
      }
      for (let item = 0; item < out.length; item++) {
        const leaf = leafOf[item]!
        out[item] = mass[leaf]! / Math.max(1, Trie.itemCount(trie, leaf))
      }
      return out
    }
  }
}
