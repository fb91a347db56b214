/**
 * Within every prefix that holds a collision, last codes are given out anew so that no two items share one and the sum
 * of squared distances is the least possible.
 *
 * A prefix with more items than last codes first gives the farthest ones away to the nearest leaf with room elsewhere.
 */
import * as Effect from "effect/Effect"
import * as Assignment from "./Assignment.ts"
import { type CollisionPolicy, groups } from "./Collision.ts"
import * as Leaves from "./Leaves.ts"
import * as NearestFreeLeaf from "./NearestFreeLeaf.ts"

/** The policy. */
export const policy: CollisionPolicy = {
  name: "optimal",
  resolve: Effect.fn("OptimalReassignment.resolve")(function*(sids, codebookSizes, distances) {
    yield* NearestFreeLeaf.checkRoom(sids.length, codebookSizes)
    const last = codebookSizes.length - 1
    const seats = codebookSizes[last]!
    const moved = [...sids]
    const away: Array<number> = []
    for (const items of groups(sids.map((codes) => codes.subarray(0, last)))) {
      if (new Set(items.map((item) => sids[item]![last]!)).size === items.length) continue
      const { data } = yield* distances(items, items.map((item) => sids[item]!), last)
      const own = (row: number) => data[row * seats + sids[items[row]!]![last]!]!
      const order = Array.from(items.keys()).toSorted((a, b) => own(a) - own(b) || a - b)
      const staying = order.slice(0, seats).toSorted((a, b) => a - b)
      away.push(...order.slice(seats).map((row) => items[row]!))
      const costs = new Float64Array(staying.length * seats)
      for (const [at, row] of staying.entries()) costs.set(data.subarray(row * seats, (row + 1) * seats), at * seats)
      for (const [at, code] of Assignment.solve(costs, staying.length, seats).entries()) {
        const item = items[staying[at]!]!
        moved[item] = Int32Array.of(...sids[item]!.subarray(0, last), code)
      }
    }
    if (away.length > 0) {
      const left = new Set(away)
      const leaves = Leaves.make(moved.filter((_, item) => !left.has(item)), codebookSizes)
      for (const item of away) moved[item] = yield* NearestFreeLeaf.place(item, sids[item]!, leaves, distances)
    }
    return { sids: moved, codebookSizes }
  })
}
