/**
 * Items that collide move to the nearest SID that nobody has: another last code, and where all of these are taken,
 * another code before it.
 *
 * Of a group, the item nearest to the shared leaf stays. The others follow, nearest first, each to its nearest free
 * leaf; so every item ends with a SID of its own, of the same length, and most keep theirs.
 */
import * as Effect from "effect/Effect"
import * as Matrix from "../embedding/Matrix.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import { type CollisionPolicy, type Distances } from "./Collision.ts"
import * as Diagnostics from "./Diagnostics.ts"
import * as Leaves from "./Leaves.ts"
import { type SidError, SidError as Failure, TooFewCodes } from "./SidError.ts"

/** Codes of a level, nearest first; the lower one before its equal. */
const byDistance = (distances: ArrayLike<number>): ReadonlyArray<number> =>
  Array.from({ length: distances.length }, (_, code) => code)
    .toSorted((a, b) => distances[a]! - distances[b]! || a - b)

/** Fails when there are fewer SIDs than items. */
export const checkRoom = (
  items: number,
  codebookSizes: ReadonlyArray<number>
): Effect.Effect<void, SidError> =>
  codebookSizes.reduce((product, size) => product * size, 1) < items
    ? Effect.fail(new Failure({ reason: new TooFewCodes({ items, codebookSizes }) }))
    : Effect.void

/** Moves one item to the nearest leaf with room, changing as few of its last codes as it must. */
export const place = Effect.fnUntraced(function*(
  item: number,
  from: Int32Array,
  leaves: Leaves.Leaves,
  distances: Distances
): Effect.fn.Return<Int32Array, SidError | TensorError> {
  let change = from.length - 1
  while (change > 0 && !leaves.hasRoom(from, change)) change--
  const codes = from.slice()
  for (let level = change; level < codes.length; level++) {
    const row = Matrix.row(yield* distances([item], [codes], level), 0)
    for (const code of byDistance(row)) {
      codes[level] = code
      if (level === codes.length - 1 ? leaves.isFree(codes) : leaves.hasRoom(codes, level + 1)) break
    }
  }
  leaves.add(codes)
  return codes
})

const block = 4096

/** The policy. */
export const policy: CollisionPolicy = {
  name: "nearest-free-leaf",
  resolve: Effect.fn("NearestFreeLeaf.resolve")(function*(sids, codebookSizes, distances) {
    yield* checkRoom(sids.length, codebookSizes)
    const colliding = Diagnostics.groups(sids).filter((group) => group.length > 1)
    const moved = [...sids]
    const leaves = Leaves.make(sids, codebookSizes)
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
        const far = Matrix.row(found, row)
        const codes = sids[item]!.slice()
        let best = -1
        for (let code = 0; code < far.length; code++) {
          codes[last] = code
          if ((best < 0 || far[code]! < far[best]!) && leaves.isFree(codes)) best = code
        }
        leaves.remove(sids[item]!)
        if (best < 0) full.push(item)
        else {
          codes[last] = best
          leaves.add(codes)
          moved[item] = codes
        }
      }
    }
    for (const item of full) moved[item] = yield* place(item, sids[item]!, leaves, distances)
    return { sids: moved, codebookSizes }
  })
}
