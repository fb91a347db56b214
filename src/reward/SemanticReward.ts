/**
 * Similarity of the candidate to the target: the cosine of their item embeddings, -1 to 1, as in MiniOneRec's
 * `semantic`; 0 if one of them is the zero vector, and -1 for a candidate that is no item. Differs from MiniOneRec,
 * which fails for a candidate that is no item.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Matrix from "../matrix/Matrix.ts"
import { Reward } from "./Reward.ts"

/** Returns the dot product of two rows of a matrix; throws a `RangeError` for a row outside of it. */
export const product = (matrix: Matrix.Matrix, a: number, b: number): number => {
  const { data, rows, width } = matrix
  for (const item of [a, b]) {
    if (!(item >= 0 && item < rows)) throw new RangeError(`item ${item} has no embedding: there are ${rows}`)
  }
  let sum = 0
  for (let i = 0; i < width; i++) sum += data[a * width + i]! * data[b * width + i]!
  return sum
}

/** Provides the reward from item embeddings [N, D]. */
export const layer = ({ embeddings }: { readonly embeddings: Matrix.Matrix }): Layer.Layer<Reward> =>
  Layer.unwrap(Effect.sync(() => {
    const unit = Matrix.normalizeRows(embeddings)
    return Reward.layer(
      "semantic",
      ({ items, target }) =>
        target < 0 ? null : Array.from(items, (item) => item < 0 ? -1 : product(unit, item, target))
    )
  }))
