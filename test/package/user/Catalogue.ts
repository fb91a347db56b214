/**
 * Items, their SIDs, and users who take one item after the other.
 */
import * as SidIndex from "sidereal/sid/SidIndex"

/** Number of items. */
export const items = 27

/** SIDs [27, 3] over codes 0 .. 2, one per item. */
export const index: SidIndex.SidIndex = SidIndex.make(
  Array.from({ length: items }, (_, item) => Int32Array.of(Math.floor(item / 9), Math.floor(item / 3) % 3, item % 3)),
  [3, 3, 3],
  "keep"
)

const taken = Array.from({ length: 60 }, (_, user) => Int32Array.from({ length: 7 }, (_, i) => (user + i) % items))

/** Histories to train on, and the last item of each user for validation. */
export const data = {
  sequences: taken.map((all) => all.subarray(0, 6)),
  validation: taken.map((all, user) => ({ user, history: all.subarray(0, 6), target: all[6] ?? 0 })),
  historyExcluded: true
}
