/**
 * Items that collide move to the nearest SID that nobody has: another last code, and where all of these are taken,
 * another code before it.
 *
 * Of a group, the item nearest to the shared leaf stays. The others follow, nearest first, each to its nearest free
 * leaf; so every item ends with a SID of its own, of the same length, and most keep theirs.
 */
import * as Effect from "effect/Effect"
import * as Matrix from "../../matrix/Matrix.ts"
import { type TensorError } from "../../tensor/TensorError.ts"
import { type CollisionPolicy, type Distances } from "../CollisionPolicy.ts"
import * as Diagnostics from "../Diagnostics.ts"
import { type SidError, SidError as Failure, TooFewCodes } from "../SidError.ts"
import * as FreeLeaves from "./FreeLeaves.ts"

/** Returns the nearest code with room, -1 where there is none; ties go to the lower code. */
const nearest = (distances: ArrayLike<number>, hasRoom: (code: number) => boolean): number => {
  let best = -1
  for (let code = 0; code < distances.length; code++) {
    if ((best < 0 || distances[code]! < distances[best]!) && hasRoom(code)) best = code
  }
  return best
}

/** Fails with `TooFewCodes` where there are fewer SIDs than items. */
export const checkRoom = (
  items: number,
  codebookSizes: ReadonlyArray<number>
): Effect.Effect<void, SidError> =>
  codebookSizes.reduce((product, size) => product * size, 1) < items
    ? Effect.fail(new Failure({ reason: new TooFewCodes({ items, codebookSizes }) }))
    : Effect.void

const block = 4096

/**
 * Moves items in order to their nearest free leaf, each changing as few of its last codes as possible.
 *
 * The work goes level by level, so that distances are found for thousands of items at once: at each level an item takes
 * reserves one of the leaves below its prefix.
 */
export const placeAll = Effect.fnUntraced(function*(
  items: ReadonlyArray<number>,
  sids: ReadonlyArray<Int32Array>,
  leaves: FreeLeaves.Leaves,
  distances: Distances
): Effect.fn.Return<ReadonlyArray<Int32Array>, SidError | TensorError> {
  const placed = items.map((item) => sids[item]!.slice())
  const turned = new Uint8Array(items.length)
  const levels = placed[0]?.length ?? 0
  for (let level = 0; level < levels; level++) {
    for (let from = 0; from < items.length; from += block) {
      const part = placed.slice(from, from + block)
      const found = yield* distances(items.slice(from, from + block), part, level)
      for (const [row, codes] of part.entries()) {
        const keeps = turned[from + row] === 0 && level + 1 < levels && leaves.hasRoom(codes, level + 1)
        if (!keeps) {
          turned[from + row] = 1
          codes[level] = nearest(Matrix.row(found, row), leaves.roomBelow(codes, level))
        }
        leaves.take(codes, level + 1)
      }
    }
  }
  return placed
})

/** Policy that gives every item a SID of its own, of the same length. */
export const policy: CollisionPolicy = {
  name: "nearest-free-leaf",
  resolve: Effect.fn("NearestFreeLeaf.resolve")(function*(sids, codebookSizes, distances) {
    yield* checkRoom(sids.length, codebookSizes)
    const colliding = Diagnostics.groups(sids).filter((group) => group.length > 1)
    const moved = [...sids]
    const leaves = FreeLeaves.make(sids, codebookSizes)
    const last = codebookSizes.length - 1
    const members = colliding.flat()
    const groupOf = new Map(colliding.flatMap((group, number) => group.map((item) => [item, number] as const)))
    const stays = new Map<number, readonly [distance: number, item: number]>()
    const own = new Map<number, number>()
    for (let at = 0; at < members.length; at += block) {
      const part = members.slice(at, at + block)
      const found = yield* distances(part, part.map((item) => sids[item]!), last)
      for (const [row, item] of part.entries()) {
        const distance = Matrix.row(found, row)[sids[item]![last]!]!
        own.set(item, distance)
        const group = groupOf.get(item)!
        const best = stays.get(group)
        if (best === undefined || distance < best[0]) stays.set(group, [distance, item])
      }
    }
    const movers = members.filter((item) => stays.get(groupOf.get(item)!)![1] !== item)
      .toSorted((a, b) => own.get(a)! - own.get(b)! || a - b)
    const full: Array<number> = []
    // Distances are asked for again: all of them at once would be K numbers for every item that collides.
    for (let at = 0; at < movers.length; at += block) {
      const part = movers.slice(at, at + block)
      const found = yield* distances(part, part.map((item) => sids[item]!), last)
      for (const [row, item] of part.entries()) {
        const codes = sids[item]!.slice()
        const code = leaves.hasRoom(codes, last)
          ? nearest(Matrix.row(found, row), leaves.roomBelow(codes, last))
          : -1
        leaves.remove(sids[item]!)
        if (code < 0) full.push(item)
        else {
          codes[last] = code
          leaves.add(codes)
          moved[item] = codes
        }
      }
    }
    for (const [i, codes] of (yield* placeAll(full, sids, leaves, distances)).entries()) moved[full[i]!] = codes
    return { sids: moved, codebookSizes }
  })
}
