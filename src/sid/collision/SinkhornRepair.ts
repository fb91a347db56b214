/**
 * MiniOneRec's repair: each group of colliding items gets new last codes by entropic transport among its members,
 * round after round.
 *
 * Not the default: a group has far fewer rows than codes, so the transport picks the code that is most exclusive to an
 * item instead of a near one (number 253 of 256 by distance in a measured group), and two items can chase each other
 * until the rounds end. Items that still collide are kept so, as in MiniOneRec, or move to their nearest free leaf.
 */
import * as Effect from "effect/Effect"
import * as Sinkhorn from "../clustering/Sinkhorn.ts"
import { type CollisionPolicy } from "../CollisionPolicy.ts"
import * as Diagnostics from "../Diagnostics.ts"
import * as NearestFreeLeaf from "./NearestFreeLeaf.ts"

/** Settings: entropy of the transport, its iterations, and the most rounds. */
export interface SinkhornRepairOptions {
  readonly epsilon: number
  readonly iterations: number
  readonly rounds: number
  /** Treatment of items that collide after the last round. @default kept */
  readonly remaining?: "kept" | "moved" | undefined
}

/** MiniOneRec's settings. */
export const defaults: SinkhornRepairOptions = { epsilon: 0.003, iterations: 50, rounds: 20 }

/** Makes the policy of MiniOneRec's repair. */
export const policy = (options: SinkhornRepairOptions = defaults): CollisionPolicy => ({
  name: "sinkhorn",
  resolve: Effect.fn("SinkhornRepair.resolve")(function*(sids, codebookSizes, distances) {
    const last = codebookSizes.length - 1
    const moved = [...sids]
    for (let round = 0; round < options.rounds; round++) {
      const colliding = Diagnostics.groups(moved).filter((group) => group.length > 1)
      if (colliding.length === 0) break
      for (const group of colliding) {
        const found = yield* distances(group, group.map((item) => moved[item]!), last)
        const codes = Sinkhorn.assign(found, options.epsilon, options.iterations)
        for (const [row, item] of group.entries()) {
          moved[item] = Int32Array.of(...moved[item]!.subarray(0, last), codes[row]!)
        }
      }
    }
    return options.remaining === "moved"
      ? yield* NearestFreeLeaf.policy.resolve(moved, codebookSizes, distances)
      : { sids: moved, codebookSizes }
  })
})
