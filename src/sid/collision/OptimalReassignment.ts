/**
 * Reassignment of last codes: within every prefix that holds a collision no two items share one, and the sum of squared
 * distances is minimal. LC-Rec (Zheng et al. 2024) asks for the same by entropic transport, in part.
 */
import * as Effect from "effect/Effect"
import { type TensorError } from "../../tensor/TensorError.ts"
import * as LinearAssignment from "../clustering/LinearAssignment.ts"
import { type CollisionPolicy, type Distances } from "../CollisionPolicy.ts"
import * as Diagnostics from "../Diagnostics.ts"
import { type SidError } from "../SidError.ts"
import * as FreeLeaves from "./FreeLeaves.ts"
import * as NearestFreeLeaf from "./NearestFreeLeaf.ts"

/** SIDs with distinct last codes, and the farthest items, for which their prefix had no code left. */
export interface Distinct {
  readonly sids: ReadonlyArray<Int32Array>
  readonly away: ReadonlyArray<number>
}

const block = 4096

/** Prefixes that hold a collision, some thousand items at a time. */
const batches = (
  sids: ReadonlyArray<Int32Array>,
  last: number
): ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>> => {
  const out: Array<Array<ReadonlyArray<number>>> = []
  let room = 0
  for (const items of Diagnostics.groups(sids.map((codes) => codes.subarray(0, last)))) {
    if (new Set(items.map((item) => sids[item]![last]!)).size === items.length) continue
    if (room < items.length) {
      out.push([])
      room = block
    }
    out.at(-1)!.push(items)
    room -= items.length
  }
  return out
}

/** Reassigns the last codes within every prefix that holds a collision. */
export const distinct: (
  sids: ReadonlyArray<Int32Array>,
  seats: number,
  distances: Distances
) => Effect.Effect<Distinct, SidError | TensorError> = Effect.fn("OptimalReassignment.distinct")(
  function*(sids, seats, distances) {
    const last = (sids[0]?.length ?? 1) - 1
    const moved = [...sids]
    const away: Array<number> = []
    for (const batch of batches(sids, last)) {
      const members = batch.flat()
      const { data } = yield* distances(members, members.map((item) => sids[item]!), last)
      let from = 0
      for (const items of batch) {
        const rows = data.subarray(from * seats, (from + items.length) * seats)
        const own = (row: number) => rows[row * seats + sids[items[row]!]![last]!]!
        const order = Array.from(items.keys()).toSorted((a, b) => own(a) - own(b) || a - b)
        const staying = order.slice(0, seats).toSorted((a, b) => a - b)
        away.push(...order.slice(seats).map((row) => items[row]!))
        const costs = new Float64Array(staying.length * seats)
        for (const [at, row] of staying.entries()) costs.set(rows.subarray(row * seats, (row + 1) * seats), at * seats)
        for (const [at, code] of LinearAssignment.solve(costs, staying.length, seats).entries()) {
          const item = items[staying[at]!]!
          moved[item] = Int32Array.of(...sids[item]!.subarray(0, last), code)
        }
        from += items.length
      }
    }
    return { sids: moved, away }
  }
)

/** Policy of least total distance; items for which their prefix has no code left move to the nearest free leaf elsewhere. */
export const policy: CollisionPolicy = {
  name: "optimal",
  resolve: Effect.fn("OptimalReassignment.resolve")(function*(sids, codebookSizes, distances) {
    yield* NearestFreeLeaf.checkRoom(sids.length, codebookSizes)
    const { away, sids: found } = yield* distinct(sids, codebookSizes.at(-1)!, distances)
    const moved = [...found]
    if (away.length > 0) {
      const left = new Set(away)
      const leaves = FreeLeaves.make(moved.filter((_, item) => !left.has(item)), codebookSizes)
      const placed = yield* NearestFreeLeaf.placeAll(away, sids, leaves, distances)
      for (const [i, codes] of placed.entries()) moved[away[i]!] = codes
    }
    return { sids: moved, codebookSizes }
  })
}
