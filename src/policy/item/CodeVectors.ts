/**
 * Sums of the vectors of items' codes, whose gradient is a product with one-hot codes.
 *
 * Adding the gradients of M items into the rows of their codes one after another occupies one core; a level has few
 * codes, so that a product [L x K, M] x [M, E] takes a fraction of that time. Levels with more codes than `widest`
 * are added row by row.
 */
import * as tf from "@tensorflow/tfjs"
import { fill } from "@tensorflow/tfjs"
import * as CompactVocabulary from "../flat/CompactVocabulary.ts"

/** Largest number of codes of a level, K, whose gradient is such a product. */
export const widest = 512

/** Gathers the vectors of tokens [M, L] from a table [V, E] and adds them up, without the gradient of this module. */
const plain = (table: tf.Tensor, tokens: tf.Tensor): tf.Tensor => {
  const [items, levels] = tokens.shape as [number, number]
  return tf.gather(table, tokens.reshape([-1])).reshape([items, levels, table.shape[1]!]).sum(1)
}

/** Computes the gradient of the table [V, E] from gradients [M, E] of the sums of tokens [M, L]. */
const gradient = (
  { offsets, size, sizes }: CompactVocabulary.CompactVocabulary,
  tokens: tf.Tensor,
  dy: tf.Tensor
): tf.Tensor => {
  const [items, levels] = tokens.shape as [number, number]
  const width = dy.shape[1]!
  const codes = Math.max(...sizes)
  const relative = tokens.sub(tf.tensor(offsets.slice(0, levels), [1, levels], "int32"))
  const hot = tf.equal(relative.reshape([items, levels, 1]), tf.range(0, codes, 1, "int32").reshape([1, 1, codes]))
    .cast("float32").reshape([items, levels * codes])
  const each = tf.matMul(hot as tf.Tensor2D, dy as tf.Tensor2D, true, false).reshape([levels, codes, width])
  const ended = tf.equal(tokens, tf.scalar(CompactVocabulary.end, "int32")).cast("float32").sum(1)
  const end = tf.matMul(ended.reshape([1, items]) as tf.Tensor2D, dy as tf.Tensor2D)
  const rows = sizes.slice(0, levels).map((count, level) =>
    tf.slice(each, [level, 0, 0], [1, count, width]).reshape([count, width])
  )
  const used = offsets[levels - 1]! + sizes[levels - 1]!
  return tf.concat([end, ...rows, ...(size > used ? [fill([size - used, width], 0)] : [])], 0)
}

/** Computes the sum of the vectors of the codes of items, [M, E], from a table [V, E] and the tokens [M, L] of the items. */
export const sum = (
  vocabulary: CompactVocabulary.CompactVocabulary,
  table: tf.Tensor,
  tokens: tf.Tensor
): tf.Tensor => {
  if (Math.max(...vocabulary.sizes) > widest) return plain(table, tokens)
  return tf.customGrad((...args) => {
    const [rows, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc]
    save([tokens])
    return {
      value: plain(rows, tokens),
      gradFunc: (dy: tf.Tensor, [tokens]: Array<tf.Tensor>) => gradient(vocabulary, tokens!, dy)
    }
  })(table)
}
