/**
 * SIDs from a file: an `index.json` of MiniOneRec, LETTER, LC-Rec and others.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import { type Progress } from "../../run/Progress.ts"
import { type TensorRuntime } from "../../tensor/TensorRuntime.ts"
import * as ResidualCodebooks from "../codebook/ResidualCodebooks.ts"
import type * as Codes from "../Codes.ts"
import { type Quantizer } from "../Quantizer.ts"
import { BadIndex, SidError } from "../SidError.ts"
import type * as SidIndex from "../SidIndex.ts"

/** SIDs of a file by item. */
export interface GivenCodes {
  /** Name for messages, such as the file's. */
  readonly source: string
  readonly sids: SidIndex.SidsByKey
  /** Number added to the items' numeric keys to get the file's: 1 for LETTER's files on S3-Rec's data. @default 0 */
  readonly keyOffset?: number | undefined
}

const hashOf = (sids: SidIndex.SidsByKey): string => {
  const sum = createHash("sha256")
  for (const [key, codes] of sids) sum.update(JSON.stringify([key, ...codes]))
  return sum.digest("hex").slice(0, 16)
}

/** Provides the quantizer; an item that the file lacks is an error, and new items get the nearest codes. */
export const layer = (given: GivenCodes): Layer.Layer<Quantizer, never, TensorRuntime | Progress> => {
  const offset = given.keyOffset ?? 0
  const keyOf = (key: string) => (offset === 0 ? key : String(Number(key) - offset))
  return ResidualCodebooks.layer({
    name: "given",
    settings: [given.source, offset, hashOf(given.sids)],
    train: Effect.fn("GivenCodes.train")(function*(items) {
      const sids: Array<Int32Array> = []
      for (const key of items.keys) {
        const codes = given.sids.get(keyOf(key))
        if (codes === undefined) {
          return yield* new SidError({ reason: new BadIndex({ item: key, value: `nothing in ${given.source}` }) })
        }
        sids.push(codes)
      }
      const levels = sids.reduce((most, codes) => Math.max(most, codes.length), 0)
      const codes: Codes.Codes = { levels, codes: new Int32Array(sids.length * levels).fill(-1) }
      const sizes = Array.from({ length: levels }, () => 1)
      for (const [item, sid] of sids.entries()) {
        codes.codes.set(sid, item * levels)
        for (const [level, code] of sid.entries()) sizes[level] = Math.max(sizes[level]!, code + 1)
      }
      return { codes, codebooks: ResidualCodebooks.ofCodes(items.embeddings, codes, sizes) }
    })
  })
}
