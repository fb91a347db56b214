/**
 * Random embeddings for items without texts and without co-occurrence.
 */
import * as Matrix from "../matrix/Matrix.ts"
import * as Random from "../statistics/Random.ts"

const width = 32

/** Draws a row of length 1 for every item from the seed, [N, 32]. */
export const embed = (items: number, seed: number): Matrix.Matrix =>
  Matrix.normalizeRows({
    rows: items,
    width,
    data: Float32Array.from({ length: items * width }, Random.normal(seed, 0x0b5c))
  })
