/**
 * Embedding rows of the SID tokens that a text model does not know yet.
 *
 * A published model may have more rows than its tokenizer has tokens, so some new tokens would start from rows that were
 * never trained. `place` writes all of them, so that every SID token starts alike.
 */
import * as LeastSquares from "../../matrix/LeastSquares.ts"
import * as Matrix from "../../matrix/Matrix.ts"
import * as Random from "../../statistics/Random.ts"
import { type SidTokens } from "./SidTokens.ts"

/** Site of the noise among the random draws of a seed. */
const site = 0x51d0

/** Moments of the first `used` rows of an embedding: mean and standard deviation per component, mean length of a row. */
const momentsOf = ({ data, width }: Matrix.Matrix, used: number) => {
  const mean = new Float64Array(width)
  const squares = new Float64Array(width)
  let length = 0
  for (let r = 0; r < used; r++) {
    let sum = 0
    // A loop: vocabularies have hundreds of millions of components.
    for (let i = 0; i < width; i++) {
      const value = data[r * width + i]!
      mean[i]! += value / used
      squares[i]! += value ** 2 / used
      sum += value ** 2
    }
    length += Math.sqrt(sum) / used
  }
  return { mean, deviation: squares.map((square, i) => Math.sqrt(Math.max(0, square - mean[i]! ** 2))), length }
}

/**
 * Returns `count` rows around the mean of the old ones, [S, D]. `used` is the number of rows of `rows` [V, D] that have
 * a token; `noise` is the standard deviation around the mean, as a multiple of each component's own.
 * @default noise 0.02
 */
export const aroundMean = (
  rows: Matrix.Matrix,
  options: { readonly used: number; readonly count: number; readonly seed: number; readonly noise?: number }
): Matrix.Matrix => {
  const { count, noise = 0.02, seed, used } = options
  const { deviation, mean } = momentsOf(rows, used)
  const result = Matrix.zeros(count, rows.width)
  const next = Random.normal(seed, site)
  for (let at = 0; at < result.data.length; at++) {
    const i = at % rows.width
    result.data[at] = mean[i]! + noise * deviation[i]! * next()
  }
  return result
}

/** Returns the mean row of each SID token over the items that have it, [S, D] in the order of `ids`; rows [N, D]. */
export const meansOfItems = ({ ids, items }: SidTokens, rows: Matrix.Matrix): Matrix.Matrix => {
  const place = new Map(Array.from(ids, (id, at) => [id, at]))
  const sums = new Float64Array(ids.length * rows.width)
  const counts = new Float64Array(ids.length)
  for (const [item, tokens] of items.entries()) {
    for (const token of tokens) {
      const at = place.get(token)!
      counts[at]!++
      for (const [i, value] of Matrix.row(rows, item).entries()) sums[at * rows.width + i]! += value
    }
  }
  const data = Float32Array.from(sums, (sum, at) => sum / counts[Math.floor(at / rows.width)]!)
  return { rows: ids.length, width: rows.width, data }
}

/**
 * Returns the mean embedding of the words of each text, [N, D], for texts as token ids; a text without a token gets the
 * mean of the others. `rows` are the embeddings [V, D].
 */
export const meansOfWords = (rows: Matrix.Matrix, texts: ReadonlyArray<ArrayLike<number>>): Matrix.Matrix => {
  const result = Matrix.zeros(texts.length, rows.width)
  const mean = new Float64Array(rows.width)
  const worded = texts.reduce((count, { length }) => count + (length > 0 ? 1 : 0), 0)
  for (const [item, ids] of texts.entries()) {
    const own = Matrix.row(result, item)
    const sums = new Float64Array(rows.width)
    for (let t = 0; t < ids.length; t++) {
      for (const [i, value] of Matrix.row(rows, ids[t]!).entries()) sums[i]! += value / ids.length
    }
    own.set(sums)
    if (ids.length > 0) { for (let i = 0; i < sums.length; i++) mean[i]! += sums[i]! / worded }
  }
  for (const [item, { length }] of texts.entries()) if (length === 0) Matrix.row(result, item).set(mean)
  return result
}

/**
 * Projects item embeddings [N, E] to the width of the model by least squares: to what each item's words say, [N, D], the
 * nearest linear image of its embedding. `ridge` is the penalty, relative to the variance of the embeddings.
 * @default ridge 0.01
 */
export const projected = (embeddings: Matrix.Matrix, words: Matrix.Matrix, ridge = 0.01): Matrix.Matrix =>
  LeastSquares.apply(LeastSquares.fit(embeddings, words, ridge), embeddings)

/** Scales rows [S, D] to the mean length of the first `used` of `rows` [V, D]; a zero row stays zero. */
export const rescaled = (values: Matrix.Matrix, rows: Matrix.Matrix, used: number): Matrix.Matrix => {
  const { length } = momentsOf(rows, used)
  const normal = Matrix.normalizeRows(values)
  return { ...normal, data: normal.data.map((value) => value * length) }
}

/**
 * Returns the embedding with rows for SID tokens, [V', D]: `values` [S, D] stand at `ids`, V' is V or the largest id
 * plus one, and rows between that belong to no token are the mean of the first `used` old ones.
 */
export const place = (
  rows: Matrix.Matrix,
  ids: Int32Array,
  values: Matrix.Matrix,
  used: number
): Matrix.Matrix => {
  const count = ids.reduce((most, id) => Math.max(most, id + 1), rows.rows)
  const result = Matrix.zeros(count, rows.width)
  result.data.set(rows.data)
  const { mean } = momentsOf(rows, used)
  for (let r = rows.rows; r < count; r++) Matrix.row(result, r).set(mean)
  for (const [at, id] of ids.entries()) Matrix.row(result, id).set(Matrix.row(values, at))
  return result
}
