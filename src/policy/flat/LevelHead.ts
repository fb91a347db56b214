/**
 * The head, one level of codes at a time: what predicts a code of level l is multiplied with the rows of that level only.
 *
 * Positions that predict are gathered in N tiles of W rows, all rows of a tile at one level, and each tile meets the K rows
 * of the head that its level has, as one batch of matrix products (Gale et al. 2023 group the tokens of experts so). The
 * number of levels, and how many positions each has, change neither the program nor, but for the last rows of a tile, the
 * work. The end of a SID that another one goes on from is one more column of every level.
 */
import * as tf from "@tensorflow/tfjs"
import { fill } from "@tensorflow/tfjs"
import { hostInt32, type HostTensor, int32, type TensorSpec } from "../../tensor/TensorProgram.ts"
import * as CompactVocabulary from "./CompactVocabulary.ts"

/** Rows by level. */
export interface Tiles {
  /** N. */
  readonly count: number
  /** W. */
  readonly width: number
  /** The level of each tile [N]. */
  readonly levels: Int32Array
  /** The row in each place of the tiles [N x W]; 0 where there is none. */
  readonly rows: Int32Array
  /** The place of each row [M]; one that is no row's for those without a level. */
  readonly places: Int32Array
}

/** Widths of tiles are multiples of this, so that few shapes are met. */
const step = 16

/** The widest tile: beyond it products become no faster, and threads share fewer tiles less evenly. */
const widest = 384

/** Rows whose products take as long as fetching the rows of the head for one more tile, about. */
const overhead = 32

const tilesOf = (counts: ReadonlyArray<number>, width: number): number =>
  counts.reduce((sum, rows) => sum + Math.ceil(rows / width), 0)

/** The width of tiles with the least work for levels of so many rows. */
const widthFor = (counts: ReadonlyArray<number>): number => {
  const cost = (width: number) => tilesOf(counts, width) * (width + overhead)
  let best = step
  for (let width = 2 * step; width <= widest; width += step) if (cost(width) < cost(best)) best = width
  return best
}

/**
 * The width of tiles for `rows` rows of which each level has about as many. Batches that use it have nearly always the same
 * number of tiles, and a backend that plans its memory by shape finds its plan again.
 */
export const evenWidth = ({ sizes }: CompactVocabulary.CompactVocabulary, rows: number): number =>
  widthFor(sizes.map(() => Math.ceil(rows / sizes.length)))

/**
 * Assigns rows to tiles by their levels [M], -1 for a row that predicts nothing; the width is by default the one with the
 * least work.
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

/** Columns of every tile, K: the codes of the widest level, then the end where there is one. */
export const columns = ({ ends, sizes }: CompactVocabulary.CompactVocabulary): number =>
  Math.max(...sizes) + (ends ? 1 : 0)

/** The column of a token among those of its level. */
export const column = (vocabulary: CompactVocabulary.CompactVocabulary, level: number, token: number): number =>
  token === CompactVocabulary.end ? columns(vocabulary) - 1 : token - vocabulary.offsets[level]!

/** The tokens in the columns of each tile [N, K]; the end in those that its level lacks. */
const tokensOf = (vocabulary: CompactVocabulary.CompactVocabulary, { count, levels }: Tiles): Int32Array => {
  const width = columns(vocabulary)
  const tokens = new Int32Array(count * width).fill(CompactVocabulary.end)
  for (const [tile, level] of levels.entries()) {
    const codes = vocabulary.sizes[level]!
    for (let code = 0; code < codes; code++) tokens[tile * width + code] = vocabulary.offsets[level]! + code
  }
  return tokens
}

/** What a program over tiles is fed, for rows whose shape is `rows`. */
export const inputs = (
  vocabulary: CompactVocabulary.CompactVocabulary,
  ...rows: TensorSpec["shape"]
): Record<string, TensorSpec> => ({
  "tiles.levels": int32("N"),
  "tiles.rows": int32("N", "W"),
  "tiles.places": int32(...rows),
  "tiles.tokens": int32("N", columns(vocabulary))
})

/** The feeds of tiles, for rows whose shape is `rows`. */
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

/** Rows [M, D] in their tiles [N, W, D]. Gradients come back by place: what is in a place without a row must have none. */
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

/** Levels that follow one another and have equally many codes. */
const runsOf = (sizes: ReadonlyArray<number>) => {
  const runs: Array<{ readonly first: number; levels: number; readonly codes: number }> = []
  for (const [level, codes] of sizes.entries()) {
    const run = runs.at(-1)
    if (run?.codes === codes) run.levels++
    else runs.push({ first: level, levels: 1, codes })
  }
  return runs
}

/** The rows of the head [V, D] for each tile [N, K, D]; gradients of the tiles of a level are added. */
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
        // A product adds tiles many times faster than a scatter.
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

/** The rows of `hidden` [M, D] in tiles [N, W, D], and the head's rows for each tile [N, K, D]. */
export const operands = (
  vocabulary: CompactVocabulary.CompactVocabulary,
  hidden: tf.Tensor,
  head: tf.Tensor,
  inputs: Inputs
): { readonly rows: tf.Tensor; readonly classes: tf.Tensor } => ({
  rows: gathered(hidden, inputs["tiles.rows"]!, inputs["tiles.places"]!),
  classes: blocks(vocabulary, head, inputs)
})

/** Logits of the columns of each row's level [N, W, K]. */
export const logits = (
  vocabulary: CompactVocabulary.CompactVocabulary,
  hidden: tf.Tensor,
  head: tf.Tensor,
  inputs: Inputs
): tf.Tensor => {
  const { classes, rows } = operands(vocabulary, hidden, head, inputs)
  return tf.matMul(rows, classes, false, true)
}
