/**
 * Policies for items that get the same codes.
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
 * Function that returns squared distances [items, K] from each item's residual at `level` to the codes of that level.
 */
export type Distances = (
  items: ReadonlyArray<number>,
  sids: ReadonlyArray<Int32Array>,
  level: number
) => Effect.Effect<Matrix.Matrix, Failure>

/** Result of a policy: SIDs by item, and the codebook size of every level, an extra one included. */
export interface Resolved {
  readonly sids: ReadonlyArray<Int32Array>
  readonly codebookSizes: ReadonlyArray<number>
}

/** A named policy that maps the codes of all items to SIDs. */
export interface CollisionPolicy {
  readonly name: string
  readonly resolve: (
    sids: ReadonlyArray<Int32Array>,
    codebookSizes: ReadonlyArray<number>,
    distances: Distances
  ) => Effect.Effect<Resolved, Failure>
}

/** Returns the distances of a trained quantizer, a few thousand rows at a time; calls must not overlap. */
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

/** Policy that keeps codes: items may share SIDs. */
export const keep: CollisionPolicy = {
  name: "keep",
  resolve: (sids, codebookSizes) => Effect.succeed({ sids, codebookSizes })
}

/**
 * Policy that appends one more code, 0, 1, 2 ... in item order, to items that share their codes, leaving out codes that
 * would make a SID of another item. Of SIDs of one length none begins another, because every member of a group is extended.
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
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import * as CollisionPolicy from "sidereal/sid/CollisionPolicy"
 *
 * const sids = [[1, 2], [1, 2], [0, 3]].map((codes) => Int32Array.from(codes))
 * const distances = () => Effect.die("this policy compares no distances")
 * const resolved = await Effect.runPromise(
 *   CollisionPolicy.resolveSids(CollisionPolicy.extraToken, sids, [4, 4], distances)
 * )
 * assert.deepEqual(resolved.sids.map((codes) => Array.from(codes)), [[1, 2, 0], [1, 2, 1], [0, 3]])
 * assert.deepEqual(resolved.codebookSizes, [4, 4, 2])
 * ```
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
