/**
 * What is done when several items get the same codes.
 */
import * as Effect from "effect/Effect"
import * as Matrix from "../matrix/Matrix.ts"
import { type TensorError } from "../tensor/TensorError.ts"
import * as Codes from "./Codes.ts"
import * as Diagnostics from "./Diagnostics.ts"
import { type Items, type Model, type Quantizer } from "./Quantizer.ts"
import { type SidError } from "./SidError.ts"

type Failure = SidError | TensorError

/**
 * Squared distances [rows, K] of some items to the codes of a level, given their codes at the levels before it.
 */
export type Distances = (
  items: ReadonlyArray<number>,
  sids: ReadonlyArray<Int32Array>,
  level: number
) => Effect.Effect<Matrix.Matrix, Failure>

/** Codes after a policy: SIDs by item, and the codebook size of every level, an extra one included. */
export interface Resolved {
  readonly sids: ReadonlyArray<Int32Array>
  readonly codebookSizes: ReadonlyArray<number>
}

/** A policy: its name, and what it does with the codes of each item. */
export interface CollisionPolicy {
  readonly name: string
  readonly resolve: (
    sids: ReadonlyArray<Int32Array>,
    codebookSizes: ReadonlyArray<number>,
    distances: Distances
  ) => Effect.Effect<Resolved, Failure>
}

/** Distances as a trained quantizer sees them, a few thousand rows at a time; a call is finished before the next begins. */
export const distancesOf = (quantizer: Quantizer["Service"], items: Items, model: Model): Distances => {
  // One block after another is taken: fresh memory for each would cost more than the distances.
  let memory: Float32Array | undefined
  return (chosen, sids, level) => {
    const levels = model.codebookSizes.length
    const part: Items = {
      keys: chosen.map((item) => items.keys[item]!),
      popularity: chosen.map((item) => items.popularity[item]!),
      embeddings: Matrix.take(items.embeddings, chosen, memory)
    }
    if (memory === undefined || memory.length < part.embeddings.data.length) memory = part.embeddings.data
    const codes: Codes.Codes = { levels, codes: new Int32Array(chosen.length * levels) }
    for (const [row, sid] of sids.entries()) codes.codes.set(sid.subarray(0, levels), row * levels)
    return quantizer.distances(part, codes, level, model)
  }
}

/** Items keep their codes and share SIDs. */
export const keep: CollisionPolicy = {
  name: "keep",
  resolve: (sids, codebookSizes) => Effect.succeed({ sids, codebookSizes })
}

/**
 * Items that share their codes get one more code, 0, 1, 2 ... in item order, those left out that make a SID of another
 * item; the others stay as they are. Of SIDs of one length none begins another, because within a group every member is
 * extended.
 */
export const extraToken: CollisionPolicy = {
  name: "extra-token",
  resolve: (sids, codebookSizes) => {
    const extended = [...sids]
    const sizes = [...codebookSizes]
    const taken = new Set(sids.map((codes) => codes.join()))
    for (const group of Diagnostics.groups(sids)) {
      if (group.length === 1) continue
      let code = 0
      for (const item of group) {
        const codes = sids[item]!
        while (taken.has(`${codes.join()},${code}`)) code++
        sizes[codes.length] = Math.max(sizes[codes.length] ?? 0, code + 1)
        extended[item] = Int32Array.of(...codes, code++)
      }
    }
    return Effect.succeed({ sids: extended, codebookSizes: sizes })
  }
}

/** Resolves codes [N, L] of a trained quantizer. */
export const resolve = (
  policy: CollisionPolicy,
  quantizer: Quantizer["Service"],
  items: Items,
  { codes, model }: { readonly codes: Codes.Codes; readonly model: Model }
): Effect.Effect<Resolved, Failure> =>
  resolveSids(policy, Codes.rowsOf(codes), model.codebookSizes, distancesOf(quantizer, items, model))

/**
 * Resolves SIDs that may be of several lengths, as given ones are: those of one length share no leaf with others, so each
 * length is a problem of its own, with the first of the codebooks. Only a code that is added looks at all of them.
 */
export const resolveSids: (
  policy: CollisionPolicy,
  ...problem: Parameters<CollisionPolicy["resolve"]>
) => Effect.Effect<Resolved, Failure> = Effect.fnUntraced(function*(policy, sids, codebookSizes, distances) {
  if (policy === extraToken || sids.every(({ length }) => length === codebookSizes.length)) {
    return yield* policy.resolve(sids, codebookSizes, distances)
  }
  const moved = [...sids]
  for (const [length, members] of Map.groupBy(sids.keys(), (item) => sids[item]!.length)) {
    const resolved = yield* policy.resolve(
      members.map((item) => sids[item]!),
      codebookSizes.slice(0, length),
      (chosen, codes, level) => distances(chosen.map((row) => members[row]!), codes, level)
    )
    for (const [row, codes] of resolved.sids.entries()) moved[members[row]!] = codes
  }
  return { sids: moved, codebookSizes }
})
