/**
 * Trie of all SIDs, as arrays of integers in compressed sparse rows.
 *
 * Nodes are numbered breadth first and the root is 0, so the nodes of a level are neighbours, the children of a node
 * are neighbours in ascending order of their codes, and parents are found by bisection instead of being stored. Ten
 * million items of four codes take some 130 MB. SIDs may differ in length and one may begin another.
 */
import * as Safetensors from "../../storage/Safetensors.ts"
import type * as Codes from "../Codes.ts"
import { BadTrie, SidError } from "../SidError.ts"

/** Codes, in the smallest integer type that holds them. */
export type EdgeCodes = Uint8Array | Uint16Array | Int32Array

/** Trie as arrays. */
export interface Trie {
  /** Length of the longest SID, L. */
  readonly depth: number
  readonly nodes: number
  /** Largest number of children of a node. */
  readonly widest: number
  /** Offsets of levels, [L + 2]: the nodes of level l are `levelStart[l] .. levelStart[l + 1] - 1`. */
  readonly levelStart: Int32Array
  /**
   * Offsets of children, [nodes above the last level + 1]: those of node n are `childStart[n] + 1 .. childStart[n +
   * 1]`.
   */
  readonly childStart: Int32Array
  /** Codes of edges, [nodes - 1]: the code that leads to node n is `edgeCode[n - 1]`. */
  readonly edgeCode: EdgeCodes
  /** First node at which a SID ends. */
  readonly firstEnd: number
  /**
   * Offsets of items, [nodes - firstEnd + 1]: those whose SID ends at node n begin at `itemStart[n - firstEnd]`,
   * ascending.
   */
  readonly itemStart: Int32Array
  readonly itemsAt: Int32Array
}

/** Sorts rows by codes with counting sorts from the last level; prefixes come first, ties go to the lower row. */
const sorted = ({ codes, levels }: Codes.Codes, rows: number, most: number): Int32Array => {
  let order = Int32Array.from({ length: rows }, (_, row) => row)
  let next = new Int32Array(rows)
  for (let level = levels - 1; level >= 0; level--) {
    // Code -1, the end of a SID, counts as 0.
    const starts = new Int32Array(most + 3)
    for (let row = 0; row < rows; row++) starts[codes[row * levels + level]! + 2]!++
    for (let code = 1; code < starts.length; code++) starts[code] = starts[code]! + starts[code - 1]!
    for (let at = 0; at < rows; at++) {
      const row = order[at]!
      const key = codes[row * levels + level]! + 1
      next[starts[key]!] = row
      starts[key]!++
    }
    const held = order
    order = next
    next = held
  }
  return order
}

const edgeCodes = (most: number, length: number): EdgeCodes =>
  most < 256 ? new Uint8Array(length) : most < 65_536 ? new Uint16Array(length) : new Int32Array(length)

/** Builds the trie of codes [N, L]. */
export const ofCodes = (given: Codes.Codes): Trie => {
  const { codes, levels } = given
  const rows = codes.length / levels
  let most = 0
  for (const code of codes) if (code > most) most = code
  const itemsAt = sorted(given, rows, most)

  // The first level at which a row leaves the path of the row before it, and where its own path ends.
  const parts = new Uint8Array(rows)
  const lengths = new Uint8Array(rows)
  const perLevel = new Int32Array(levels + 1)
  perLevel[0] = 1
  for (let at = 0; at < rows; at++) {
    const from = itemsAt[at]! * levels
    const before = at === 0 ? -1 : itemsAt[at - 1]! * levels
    let length = 0
    while (length < levels && codes[from + length]! >= 0) length++
    let level = 0
    if (before >= 0) { while (level < length && codes[from + level] === codes[before + level]) level++ }
    lengths[at] = length
    parts[at] = level
    for (let l = level; l < length; l++) perLevel[l + 1]!++
  }
  let depth = levels
  while (depth > 0 && perLevel[depth] === 0) depth--
  const levelStart = new Int32Array(depth + 2)
  for (let level = 0; level <= depth; level++) levelStart[level + 1] = levelStart[level]! + perLevel[level]!
  const nodes = levelStart[depth + 1]!

  let shortest = depth
  for (const length of lengths) if (length < shortest) shortest = length
  const firstEnd = levelStart[shortest]!
  const childStart = new Int32Array(levelStart[depth]! + 1)
  const edgeCode = edgeCodes(most, nodes - 1)
  const itemStart = new Int32Array(nodes - firstEnd + 1)
  // Nodes that each level still has to give out, and the node that a path is at.
  const next = levelStart.slice(0, depth + 1)
  const path = new Int32Array(depth + 1)
  next[0] = 1
  for (let at = 0; at < rows; at++) {
    const from = itemsAt[at]! * levels
    const length = lengths[at]!
    for (let level = parts[at]!; level < length; level++) {
      const node = next[level + 1]!
      next[level + 1] = node + 1
      edgeCode[node - 1] = codes[from + level]!
      path[level + 1] = node
      childStart[path[level]! + 1] = node
    }
    itemStart[path[length]! - firstEnd + 1]!++
  }
  // A node without children begins where the one before it ended.
  for (let node = 1; node < childStart.length; node++) {
    if (childStart[node] === 0) childStart[node] = childStart[node - 1]!
  }
  for (let i = 1; i < itemStart.length; i++) itemStart[i] = itemStart[i]! + itemStart[i - 1]!
  return ofArrays({
    levelStart,
    childStart,
    edgeCode,
    itemStart,
    itemsAt: shortest === depth ? itemsAt : byNode(itemsAt, lengths, parts, depth, itemStart, firstEnd, levelStart)
  })
}

/** Builds a trie from its stored arrays and derives the remaining fields. */
const ofArrays = (
  arrays: Pick<Trie, "levelStart" | "childStart" | "edgeCode" | "itemStart" | "itemsAt">
): Trie => {
  const nodes = arrays.levelStart.at(-1)!
  return {
    ...arrays,
    depth: arrays.levelStart.length - 2,
    nodes,
    widest: mostChildren(arrays.childStart),
    firstEnd: nodes - arrays.itemStart.length + 1
  }
}

const mostChildren = (childStart: Int32Array): number => {
  let most = 0
  for (let node = 1; node < childStart.length; node++) {
    most = Math.max(most, childStart[node]! - childStart[node - 1]!)
  }
  return most
}

/** Returns the items in the order of the nodes at which their SIDs end, for SIDs of different lengths. */
const byNode = (
  order: Int32Array,
  lengths: Uint8Array,
  parts: Uint8Array,
  depth: number,
  itemStart: Int32Array,
  firstEnd: number,
  levelStart: Int32Array
): Int32Array => {
  const out = new Int32Array(order.length)
  const filled = new Int32Array(itemStart.length)
  const next = levelStart.slice(0, depth + 1)
  const path = new Int32Array(depth + 1)
  for (let at = 0; at < order.length; at++) {
    for (let level = parts[at]!; level < lengths[at]!; level++) {
      path[level + 1] = next[level + 1]!
      next[level + 1]!++
    }
    const end = path[lengths[at]!]! - firstEnd
    out[itemStart[end]! + filled[end]!] = order[at]!
    filled[end]!++
  }
  return out
}

/**
 * Builds the trie of `sids[item]`.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as Trie from "sidereal/sid/trie/Trie"
 *
 * const trie = Trie.build([[0, 1], [0, 2], [3, 1]])
 * const node = Trie.find(trie, [0])
 * assert.deepEqual(Array.from(Trie.children(trie, node)), [1, 2])
 * assert.deepEqual(Array.from(Trie.items(trie, Trie.find(trie, [3, 1]))), [2])
 * assert.equal(Trie.find(trie, [1]), -1)
 * ```
 */
export const build = (sids: ReadonlyArray<ArrayLike<number>>): Trie => {
  const levels = sids.reduce((most, sid) => Math.max(most, sid.length), 1)
  const codes = new Int32Array(sids.length * levels).fill(-1)
  for (const [item, sid] of sids.entries()) codes.set(sid, item * levels)
  return ofCodes({ levels, codes })
}

/** Returns the first child of a node; the children of a node are consecutive. */
export const firstChild = (trie: Trie, node: number): number =>
  node + 1 < trie.childStart.length ? trie.childStart[node]! + 1 : trie.nodes

/** Returns the number of children of a node. */
export const childCount = (trie: Trie, node: number): number =>
  node + 1 < trie.childStart.length ? trie.childStart[node + 1]! - trie.childStart[node]! : 0

/** Returns the children of a node, ascending by code. */
export const childNodes = (trie: Trie, node: number): ReadonlyArray<number> => {
  const first = firstChild(trie, node)
  return Array.from({ length: childCount(trie, node) }, (_, i) => first + i)
}

/** Returns the code that leads to a node other than the root. */
export const code = (trie: Trie, node: number): number => trie.edgeCode[node - 1]!

/** Returns the level of a node: the number of codes that lead to it. */
export const level = (trie: Trie, node: number): number => {
  let at = 0
  while (trie.levelStart[at + 1]! <= node) at++
  return at
}

/** Returns the parent of a node, -1 for the root. */
export const parent = (trie: Trie, node: number): number => {
  const { childStart } = trie
  // The last node whose children begin before this one.
  let low = -1
  let high = childStart.length - 1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (childStart[middle]! < node) low = middle
    else high = middle
  }
  return low
}

/** Returns the child of a node by code, -1 if there is none. */
export const child = (trie: Trie, node: number, code: number): number => {
  if (node + 1 >= trie.childStart.length) return -1
  let low = trie.childStart[node]!
  let high = trie.childStart[node + 1]!
  while (low < high) {
    const middle = (low + high) >>> 1
    const found = trie.edgeCode[middle]!
    if (found === code) return middle + 1
    if (found < code) low = middle + 1
    else high = middle
  }
  return -1
}

/** Returns the node of a prefix, -1 if no SID begins with it. */
export const find = (trie: Trie, codes: ArrayLike<number>): number => {
  let node = 0
  for (let l = 0; l < codes.length && node >= 0; l++) node = child(trie, node, codes[l]!)
  return node
}

/** Returns the legal next codes of a node, ascending. */
export const children = (trie: Trie, node: number): EdgeCodes => {
  const first = firstChild(trie, node)
  return trie.edgeCode.subarray(first - 1, first - 1 + childCount(trie, node))
}

/** Returns the number of items whose SID ends at a node. */
export const itemCount = (trie: Trie, node: number): number =>
  node < trie.firstEnd ? 0 : trie.itemStart[node - trie.firstEnd + 1]! - trie.itemStart[node - trie.firstEnd]!

/** Returns the items whose SID ends at a node, ascending. */
export const items = (trie: Trie, node: number): Int32Array =>
  node < trie.firstEnd
    ? trie.itemsAt.subarray(0, 0)
    : trie.itemsAt.subarray(trie.itemStart[node - trie.firstEnd], trie.itemStart[node - trie.firstEnd + 1])

/** Returns the codes that lead to a node, [level]. */
export const codes = (trie: Trie, node: number): Int32Array => {
  const path = new Int32Array(level(trie, node))
  for (let at = node, l = path.length - 1; at > 0; at = parent(trie, at), l--) path[l] = code(trie, at)
  return path
}

/** Returns the node at which the SID of each item ends, [N]. */
export const leaves = (trie: Trie): Int32Array => {
  const out = new Int32Array(trie.itemsAt.length)
  for (let node = trie.firstEnd; node < trie.nodes; node++) for (const item of items(trie, node)) out[item] = node
  return out
}

/** Counts the items at or below each node, [nodes]. */
export const itemsBelow = (trie: Trie): Int32Array => {
  const counts = new Int32Array(trie.nodes)
  for (let node = trie.nodes - 1; node >= 0; node--) {
    let below = itemCount(trie, node)
    const first = firstChild(trie, node)
    for (let i = childCount(trie, node) - 1; i >= 0; i--) below += counts[first + i]!
    counts[node] = below
  }
  return counts
}

/** Returns the size of the arrays, in bytes. */
export const bytes = (trie: Trie): number =>
  trie.levelStart.byteLength + trie.childStart.byteLength + trie.edgeCode.byteLength + trie.itemStart.byteLength +
  trie.itemsAt.byteLength

const stored = (data: Int32Array): Safetensors.StoredTensor => ({ dtype: "I32", shape: [data.length], data })

/** Encodes the trie as the bytes of a safetensors file. */
export const encode = (trie: Trie): Uint8Array =>
  Safetensors.encode(
    new Map<string, Safetensors.StoredTensor>([
      ["levelStart", stored(trie.levelStart)],
      ["childStart", stored(trie.childStart)],
      ["itemStart", stored(trie.itemStart)],
      ["itemsAt", stored(trie.itemsAt)],
      ["edgeCode", {
        dtype: "U8",
        shape: [trie.edgeCode.length, trie.edgeCode.BYTES_PER_ELEMENT],
        data: new Uint8Array(trie.edgeCode.buffer, trie.edgeCode.byteOffset, trie.edgeCode.byteLength)
      }]
    ]),
    { format: "sidereal-trie-1" }
  )

/** Decodes the bytes of `encode`; throws `SidError` when the arrays are not those of a trie. */
export const decode = (bytes: Uint8Array): Trie => {
  const fail = (detail: string): never => {
    throw new SidError({ reason: new BadTrie({ detail }) })
  }
  let tensors: Map<string, Safetensors.StoredTensor>
  try {
    tensors = Safetensors.decode(bytes)
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
  const take = (name: string): Int32Array => {
    const data = tensors.get(name)?.data
    return data instanceof Int32Array ? data : fail(`it has no array "${name}" of 32-bit integers`)
  }
  const [levelStart, childStart, itemStart, itemsAt] = [
    take("levelStart"),
    take("childStart"),
    take("itemStart"),
    take("itemsAt")
  ]
  const packed = tensors.get("edgeCode") ?? fail(`it has no array "edgeCode"`)
  const raw = packed.data as Uint8Array
  const width = packed.shape[1]
  const edgeCode = width === 1
    ? raw
    : width === 2
    ? new Uint16Array(raw.buffer, raw.byteOffset, raw.length / 2)
    : new Int32Array(raw.buffer, raw.byteOffset, raw.length / 4)
  const depth = levelStart.length - 2
  const nodes = levelStart.at(-1)!
  const ascends = (array: Int32Array, last: number) =>
    array[0] === 0 && array.at(-1) === last && array.every((value, i) => i === 0 || value >= array[i - 1]!)
  if (depth < 0 || !ascends(levelStart, nodes)) fail("its levels do not follow one another")
  if (edgeCode.length !== nodes - 1) fail(`it has ${edgeCode.length} codes for ${nodes} nodes`)
  if (childStart.length !== levelStart[depth]! + 1 || !ascends(childStart, nodes - 1)) {
    fail("its children do not add up")
  }
  if (!ascends(itemStart, itemsAt.length)) fail("its items do not add up")
  const seen = new Uint8Array(itemsAt.length)
  for (const item of itemsAt) {
    if (!(item >= 0 && item < seen.length) || seen[item] === 1) fail(`item ${item} is missing or there twice`)
    seen[item] = 1
  }
  return ofArrays({ levelStart, childStart, edgeCode, itemStart, itemsAt })
}
