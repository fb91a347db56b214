/**
 * The two-way map between items and SIDs.
 */
import * as Effect from "effect/Effect"
import { type Resolved } from "./CollisionPolicy.ts"
import { BadIndex, SidError } from "./SidError.ts"
import * as Trie from "./trie/Trie.ts"

/** Items, their SIDs and the trie over them. */
export interface SidIndex {
  /** Length of the longest SID, L. */
  readonly levels: number
  /** Codes per level, K_l; an extra level for collisions is the last. */
  readonly codebookSizes: ReadonlyArray<number>
  /** Codes of each item. */
  readonly sids: ReadonlyArray<Int32Array>
  readonly trie: Trie.Trie
  /** Trie node of each item, [N]. */
  readonly leafOf: Int32Array
  readonly collisionPolicy: string
}

/**
 * Builds the index of resolved SIDs.
 *
 * @example
 * ```ts
 * import * as assert from "node:assert/strict"
 * import * as SidIndex from "sidereal/sid/SidIndex"
 *
 * const sids = [Int32Array.of(3, 7), Int32Array.of(3, 1)]
 * const index = SidIndex.make(sids, [8, 8], "keep")
 * assert.equal(index.levels, 2)
 * assert.equal(SidIndex.format(index.sids[0]!), "<a_3><b_7>")
 * assert.deepEqual(SidIndex.toJson(index), { 0: ["<a_3>", "<b_7>"], 1: ["<a_3>", "<b_1>"] })
 * ```
 */
export const make = (
  sids: ReadonlyArray<Int32Array>,
  codebookSizes: ReadonlyArray<number>,
  collisionPolicy: string
): SidIndex => {
  const trie = Trie.build(sids)
  return { levels: trie.depth, codebookSizes, sids, trie, leafOf: Trie.leaves(trie), collisionPolicy }
}

/** Builds the index from the result of a collision policy. */
export const fromResolved = ({ codebookSizes, sids }: Resolved, collisionPolicy: string): SidIndex =>
  make(sids, codebookSizes, collisionPolicy)

const letter = (level: number) => String.fromCharCode(97 + level)

/** Returns a SID as tokens: `["<a_12>", "<b_3>", "<c_7>"]`. */
export const tokens = (codes: ArrayLike<number>): ReadonlyArray<string> =>
  Array.from(codes, (code, level) => `<${letter(level)}_${code}>`)

/** Returns a SID as text: `<a_12><b_3><c_7>`. */
export const format = (codes: ArrayLike<number>): string => tokens(codes).join("")

/**
 * Returns the index in the format of MiniOneRec's `index.json`: item number to tokens. `offset` is added to every code;
 * MiniOneRec's k-means variants count from 1.
 */
export const toJson = (index: SidIndex, offset = 0): Record<string, ReadonlyArray<string>> =>
  Object.fromEntries(
    index.sids.map((codes, item) => [String(item), tokens(codes.map((code) => code + offset))])
  )

const token = /^<([a-z])_(\d+)>$/

/** Codes by the item's key in a file. */
export type SidsByKey = ReadonlyMap<string, Int32Array>

const bad = (item: string, value: unknown) =>
  new SidError({ reason: new BadIndex({ item, value: JSON.stringify(value) ?? "nothing" }) })

/** Parses an `index.json` to codes by key; fails with `BadIndex`. */
export const parse: (json: unknown) => Effect.Effect<SidsByKey, SidError> = Effect.fn("SidIndex.parse")(
  function*(json) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) return yield* bad("(whole file)", json)
    const sids = new Map<string, Int32Array>()
    for (const [item, list] of Object.entries(json)) {
      if (!Array.isArray(list) || list.length === 0) return yield* bad(item, list)
      const codes = new Int32Array(list.length)
      for (const [level, text] of list.entries()) {
        const match = typeof text === "string" ? token.exec(text) : null
        if (match === null || match[1] !== letter(level)) return yield* bad(item, list)
        codes[level] = Number(match[2])
      }
      sids.set(item, codes)
    }
    return sids
  }
)

/** Parses MiniOneRec's `index.json` to an index; items must be numbered 0 .. N-1. */
export const fromJson: (json: unknown, collisionPolicy?: string) => Effect.Effect<SidIndex, SidError> = Effect.fn(
  "SidIndex.fromJson"
)(function*(json, collisionPolicy = "given") {
  const byKey = yield* parse(json)
  const sids: Array<Int32Array> = []
  const sizes: Array<number> = []
  for (let item = 0; item < byKey.size; item++) {
    const codes = byKey.get(String(item))
    if (codes === undefined) return yield* bad(String(item), undefined)
    for (const [level, code] of codes.entries()) sizes[level] = Math.max(sizes[level] ?? 0, code + 1)
    sids.push(codes)
  }
  return make(sids, sizes, collisionPolicy)
})
