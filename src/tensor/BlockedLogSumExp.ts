/**
 * Log-sum-exp of the logits of a linear classifier whose classes are computed block by block, in both directions:
 * `log sum_v exp(h_m . e_v + b_v)`.
 *
 * The logits of one block [M, block] are in memory at a time, and the backward pass computes them again, so that
 * vocabularies of 10^5 classes need no table of rows by classes.
 */
import * as tf from "@tensorflow/tfjs"

/** Classes of the classifier, or a part of them. */
export interface Classes {
  /** Matrix of the classes, [V, D]. */
  readonly rows: tf.Tensor
  /** Number added to the logit of each class, [V], such as `Attention.masked` for one that does not count. @default 0 */
  readonly bias?: Float32Array | undefined
}

/** Classes of one block, by default. */
const widest = 8192

interface Block {
  readonly part: number
  readonly from: number
  readonly count: number
}

const blocksOf = (sizes: ReadonlyArray<number>, block: number): ReadonlyArray<Block> =>
  sizes.flatMap((size, part) =>
    Array.from({ length: Math.ceil(size / block) }, (_, b): Block => ({
      part,
      from: b * block,
      count: Math.min(block, size - b * block)
    }))
  )

/** Returns the rows of a block, and their biases as a constant, which is 0 where there is none. */
const block = (rows: tf.Tensor, bias: Float32Array | undefined, { count, from }: Block) => ({
  classes: tf.slice(rows, [from, 0], [count, rows.shape[1]!]) as tf.Tensor2D,
  bias: bias === undefined ? tf.scalar(0) : tf.tensor1d(bias.subarray(from, from + count))
})

/**
 * Computes the log-sum-exp of each row of `h` [M, D] over all classes of all parts; returns [M]. A part is computed in
 * blocks of at most `most` classes.
 */
export const apply = (h: tf.Tensor, parts: ReadonlyArray<Classes>, most = widest): tf.Tensor => {
  const blocks = blocksOf(parts.map(({ rows }) => rows.shape[0]!), most)
  return tf.customGrad((...args) => {
    const save = args.at(-1) as unknown as tf.GradSaveFunc
    const [h, ...rows] = args.slice(0, -1) as unknown as [tf.Tensor2D, ...Array<tf.Tensor>]
    const sums = blocks.map((one) => {
      const { bias, classes } = block(rows[one.part]!, parts[one.part]!.bias, one)
      return tf.logSumExp(tf.matMul(h, classes, false, true).add(bias), -1)
    })
    const value = sums.length === 1 ? sums[0]! : tf.logSumExp(tf.stack(sums), 0)
    save([h, value, ...rows])
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const [h, value, ...rows] = saved as [tf.Tensor2D, tf.Tensor, ...Array<tf.Tensor>]
        const count = value.shape[0]!
        let left: tf.Tensor | undefined
        const right = rows.map((): Array<tf.Tensor> => [])
        for (const one of blocks) {
          const { bias, classes } = block(rows[one.part]!, parts[one.part]!.bias, one)
          // Transposed, so that no compiler takes them for the logits of the forward pass and keeps those.
          const logits = tf.matMul(classes, h, false, true)
          const shifted = (bias.rank === 0 ? logits : logits.add(bias.reshape([one.count, 1])))
            .sub(value.reshape([1, count]))
          const shares = shifted.exp().mul(dy.reshape([1, count])) as tf.Tensor2D
          const own = tf.matMul(shares, classes, true, false)
          left = left === undefined ? own : left.add(own)
          right[one.part]!.push(tf.matMul(shares, h))
        }
        return [left!, ...right.map((blocks) => blocks.length === 1 ? blocks[0]! : tf.concat(blocks, 0))]
      }
    }
  })(h, ...parts.map(({ rows }) => rows))
}
