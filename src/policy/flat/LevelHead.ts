/**
 * Output head by level: a position that predicts a code of level l is multiplied with the head's rows of this level
 * only.
 *
 * The predicting positions are gathered in N tiles of W rows, each tile of one level. Each tile is multiplied with the
 * K rows of the head of its level, in one batched matrix product, as Gale et al. 2023 group the tokens of experts. The
 * program does not depend on the number of levels or on the positions of each; the work depends on them only by the
 * empty rows of partly filled tiles. The end of a SID that is a prefix of another SID is an additional column of every
 * level.
 */
import * as tf from "@tensorflow/tfjs"
import { fill } from "@tensorflow/tfjs"
import { hostInt32, type HostTensor, int32, type TensorSpec } from "../../tensor/TensorProgram.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"

/** Rows in tiles by level. */
export interface Tiles {
  /** Number of tiles, N. */
  readonly count: number
  /** Rows of a tile, W. */
  readonly width: number
  /** Level of each tile, [N]. */
  readonly levels: Int32Array
  /** Number of the row in each place of the tiles, [N x W]; 0 in empty places. */
  readonly rows: Int32Array
  /** Place of each row in the tiles, [M]; an empty place for rows without a level. */
  readonly places: Int32Array
}

/** Divisor of all tile widths, so that few different shapes occur. */
const step = 16

/** Largest tile width: wider tiles are not faster, and fewer tiles are divided less evenly among threads. */
const widest = 384

/** Approximate number of rows whose products take as long as gathering the head's rows of one more tile. */
const overhead = 32

const tilesOf = (counts: ReadonlyArray<number>, width: number): number =>
  counts.reduce((sum, rows) => sum + Math.ceil(rows / width), 0)

/** Returns the tile width with the least work, from the number of rows of each level. */
const widthFor = (counts: ReadonlyArray<number>): number => {
  const cost = (width: number) => tilesOf(counts, width) * (width + overhead)
  let best = step
  for (let width = 2 * step; width <= widest; width += step) if (cost(width) < cost(best)) best = width
  return best
}

/**
 * Returns the tile width for `rows` rows that are evenly distributed over the levels. Batches with this width almost
 * always have the same number of tiles, so that a backend which plans memory by shape can reuse its plan.
 */
export const evenWidth = ({ sizes }: CompactVocabulary.CompactVocabulary, rows: number): number =>
  widthFor(sizes.map(() => Math.ceil(rows / sizes.length)))

/**
 * Assigns rows to tiles by their levels [M], -1 for a row that predicts nothing; the width is by default the one with
 * the least work.
 */
export const tiles = (levels: Int32Array, given?: number): Tiles => {
  const counts: Array<number> = []
  let missing = 0
  for (const level of levels) {
    if (level < 0) missing = 1
    else counts[level] = (counts[level] ?? 0) + 1
  }
  const last = Math.max(0, counts.length - 1)
  // Rows without a level need a place that no row has.
  counts[last] = (counts[last] ?? 0) + missing
  const width = given ?? widthFor(counts)
  const count = Math.max(1, tilesOf(counts, width))
  const next: Array<number> = []
  const tileLevels = new Int32Array(count)
  let tile = 0
  counts.forEach((rows, level) => {
    next[level] = tile * width
    for (let left = rows; left > 0; left -= width) tileLevels[tile++] = level
  })
  const rows = new Int32Array(count * width)
  const places = new Int32Array(levels.length)
  for (const [row, level] of levels.entries()) {
    if (level < 0) continue
    const place = next[level]!++
    rows[place] = row
    places[row] = place
  }
  if (missing === 1) {
    const free = next[last]!
    for (const [row, level] of levels.entries()) if (level < 0) places[row] = free
  }
  return { count, width, levels: tileLevels, rows, places }
}

/**
 * Returns the number of columns of every tile, K: the codes of the widest level, and the end if the vocabulary has one.
 */
export const columns = ({ ends, sizes }: CompactVocabulary.CompactVocabulary): number =>
  Math.max(...sizes) + (ends ? 1 : 0)

/** Returns the column of a token among those of its level. */
export const column = (vocabulary: CompactVocabulary.CompactVocabulary, level: number, token: number): number =>
  token === CompactVocabulary.end ? columns(vocabulary) - 1 : token - vocabulary.offsets[level]!

/** Returns the tokens in the columns of each tile, [N, K]; the end token in columns beyond the codes of its level. */
const tokensOf = (vocabulary: CompactVocabulary.CompactVocabulary, { count, levels }: Tiles): Int32Array => {
  const width = columns(vocabulary)
  const tokens = new Int32Array(count * width).fill(CompactVocabulary.end)
  for (const [tile, level] of levels.entries()) {
    const codes = vocabulary.sizes[level]!
    for (let code = 0; code < codes; code++) tokens[tile * width + code] = vocabulary.offsets[level]! + code
  }
  return tokens
}

/** Returns the input specifications of a program over tiles, for rows of shape `rows`. */
export const inputs = (
  vocabulary: CompactVocabulary.CompactVocabulary,
  ...rows: TensorSpec["shape"]
): Record<string, TensorSpec> => ({
  "tiles.levels": int32("N"),
  "tiles.rows": int32("N", "W"),
  "tiles.places": int32(...rows),
  "tiles.tokens": int32("N", columns(vocabulary))
})

/** Returns the feeds of tiles, for rows of shape `rows`. */
export const feeds = (
  vocabulary: CompactVocabulary.CompactVocabulary,
  tiles: Tiles,
  ...rows: ReadonlyArray<number>
): Record<string, HostTensor> => ({
  "tiles.levels": hostInt32(tiles.levels, tiles.count),
  "tiles.rows": hostInt32(tiles.rows, tiles.count, tiles.width),
  "tiles.places": hostInt32(tiles.places, ...rows),
  "tiles.tokens": hostInt32(tokensOf(vocabulary, tiles), tiles.count, columns(vocabulary))
})

type Inputs = Readonly<Record<string, tf.Tensor>>

/** Gathers rows [M, D] into tiles [N, W, D]. Gradients are gathered by place, so empty places must have no gradient. */
const gathered = (x: tf.Tensor, rows: tf.Tensor, places: tf.Tensor): tf.Tensor =>
  tf.customGrad((...args) => {
    const [x, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc]
    save([places])
    return {
      value: tf.gather(x, rows),
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const [count, width, components] = dy.shape as [number, number, number]
        return [tf.gather(dy.reshape([count * width, components]), saved[0]!.reshape([-1]))]
      }
    }
  })(x)

/** Returns the runs of consecutive levels with equally many codes. */
const runsOf = (sizes: ReadonlyArray<number>) => {
  const runs: Array<{ readonly first: number; levels: number; readonly codes: number }> = []
  for (const [level, codes] of sizes.entries()) {
    const run = runs.at(-1)
    if (run?.codes === codes) run.levels++
    else runs.push({ first: level, levels: 1, codes })
  }
  return runs
}

/** Gathers the rows of the head [V, D] for each tile, [N, K, D]; gradients of the tiles of a level are summed. */
const blocks = (vocabulary: CompactVocabulary.CompactVocabulary, head: tf.Tensor, inputs: Inputs): tf.Tensor =>
  tf.customGrad((...args) => {
    const [head, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc]
    save([inputs["tiles.levels"]!])
    const [size, width] = head.shape as [number, number]
    return {
      value: tf.gather(head, inputs["tiles.tokens"]!),
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const { ends, sizes } = vocabulary
        const [levels, all] = [sizes.length, columns(vocabulary)]
        // A matrix product sums tiles many times faster than a scatter.
        const member = tf.oneHot(saved[0]!, levels).cast("float32")
        const sums = tf.matMul(member as tf.Tensor2D, dy.reshape([dy.shape[0]!, all * width]) as tf.Tensor2D, true)
          .reshape([levels, all, width])
        const codes = runsOf(sizes).map(({ codes, first, levels: count }) =>
          tf.slice(sums, [first, 0, 0], [count, codes, width]).reshape([count * codes, width])
        )
        const end = ends
          ? tf.slice(sums, [0, all - 1, 0], [levels, 1, width]).sum(0)
          : fill([1, width], 0)
        const rest = size - 1 - sizes.reduce((a, b) => a + b, 0)
        return [tf.concat([end, ...codes, ...(rest === 0 ? [] : [fill([rest, width], 0)])], 0)]
      }
    }
  })(head)

/** Returns the rows of `hidden` [M, D] in tiles [N, W, D], and the head's rows for each tile, [N, K, D]. */
export const operands = (
  vocabulary: CompactVocabulary.CompactVocabulary,
  hidden: tf.Tensor,
  head: tf.Tensor,
  inputs: Inputs
): { readonly rows: tf.Tensor; readonly classes: tf.Tensor } => ({
  rows: gathered(hidden, inputs["tiles.rows"]!, inputs["tiles.places"]!),
  classes: blocks(vocabulary, head, inputs)
})

/** Computes the logits of the columns of each row's level, [N, W, K]. */
export const logits = (
  vocabulary: CompactVocabulary.CompactVocabulary,
  hidden: tf.Tensor,
  head: tf.Tensor,
  inputs: Inputs
): tf.Tensor => {
  const { classes, rows } = operands(vocabulary, hidden, head, inputs)
  return tf.matMul(rows, classes, false, true)
}
