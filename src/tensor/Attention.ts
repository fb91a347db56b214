/**
 * Scaled dot-product attention with grouped key-value heads (Ainslie et al. 2023).
 */
import * as tf from "@tensorflow/tfjs"
import * as FusedKernel from "./FusedKernel.ts"

/** Value that a mask adds to a masked score; its exponential is exactly 0 in float32. */
export const masked = -1e9

/** Largest number of attention scores, over all rows and columns of a batch, computed at once: 256 MB of float32. */
export const widest = 2 ** 26

/**
 * Returns the additive mask [B, 1, T, T] of packed rows: a position attends to the positions of its own segment up to
 * itself, with a `window` to at most that many of them, itself included. `segments` and `positions` are [B, T];
 * positions count from 0 in every segment.
 */
export const packedMask = (segments: tf.Tensor, positions: tf.Tensor, window?: number | undefined): tf.Tensor => {
  const [batch, length] = segments.shape as [number, number]
  const rows = (x: tf.Tensor) => x.reshape([batch, 1, length, 1])
  const columns = (x: tf.Tensor) => x.reshape([batch, 1, 1, length])
  const earlier = tf.logicalAnd(
    tf.equal(rows(segments), columns(segments)),
    tf.greaterEqual(rows(positions), columns(positions))
  )
  const seen = window === undefined
    ? earlier
    : tf.logicalAnd(earlier, tf.less(rows(positions).sub(columns(positions)), tf.scalar(window, "int32")))
  return tf.where(seen, tf.zerosLike(seen.cast("float32")), tf.fill(seen.shape, masked))
}

/** Reshapes [B, T, heads x width] to [B, groups, heads / groups x T, width], one group per key-value head. */
const toGroups = (x: tf.Tensor, groups: number, heads: number): tf.Tensor => {
  const [batch, length, total] = x.shape as [number, number, number]
  const [perGroup, width] = [heads / groups, total / heads]
  return perGroup === 1
    ? x.reshape([batch, length, heads, width]).transpose([0, 2, 1, 3])
    : x.reshape([batch, length, groups, perGroup, width]).transpose([0, 2, 3, 1, 4])
      .reshape([batch, groups, perGroup * length, width])
}

const fromGroups = (x: tf.Tensor, length: number, heads: number): tf.Tensor => {
  const [batch, groups, rows, width] = x.shape as [number, number, number, number]
  const perGroup = heads / groups
  return perGroup === 1
    ? x.transpose([0, 2, 1, 3]).reshape([batch, length, heads * width])
    : x.reshape([batch, groups, perGroup, rows / perGroup, width]).transpose([0, 3, 1, 2, 4])
      .reshape([batch, length, heads * width])
}

const softmaxWithMask = (scores: tf.Tensor, mask: tf.Tensor, perGroup: number): tf.Tensor => {
  if (perGroup === 1) return tf.softmax(scores.add(mask), -1)
  const [batch, groups, rows, columns] = scores.shape as [number, number, number, number]
  const [maskBatch, , length] = mask.shape as [number, number, number]
  const split = scores.reshape([batch, groups, perGroup, rows / perGroup, columns])
  return tf.softmax(split.add(mask.reshape([maskBatch, 1, 1, length, columns])), -1).reshape(scores.shape)
}

/** Reshapes keys or values [B, S, groups x width] to [B, groups, S, width], the layout of the cache. */
export const splitHeads = (x: tf.Tensor, groups: number): tf.Tensor => toGroups(x, groups, groups)

/**
 * Computes the attention of queries [B, T, heads x width] over keys and values [B, groups, S, width] under an additive
 * mask [B or 1, 1, T, S]; returns [B, T, heads x width]. `dropout` [B, heads, T, S] multiplies the attention weights.
 */
export const apply = (
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  mask: tf.Tensor,
  heads: number,
  dropout?: tf.Tensor | undefined
): tf.Tensor => {
  const groups = k.shape[1]!
  const length = q.shape[1]!
  const scale = 1 / Math.sqrt(q.shape[2]! / heads)
  const queries = toGroups(q, groups, heads)
  const kept = dropout?.reshape([q.shape[0]!, groups, (heads / groups) * length, k.shape[2]!])
  const drop = (weights: tf.Tensor) => kept === undefined ? weights : weights.mul(kept)
  if (!FusedKernel.available("SiderealScaledMatMul")) {
    const weights = softmaxWithMask(tf.matMul(queries, k, false, true).mul(scale), mask, heads / groups)
    return fromGroups(tf.matMul(drop(weights), v), length, heads)
  }
  const fused = tf.customGrad((...args) => {
    const [q, k, v, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc]
    const weights = softmaxWithMask(FusedKernel.scaledMatMul(q, k, scale, false, true), mask, heads / groups)
    const value = FusedKernel.scaledMatMul(drop(weights), v, 1)
    save([q, k, v, weights, value])
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const [q, k, v, weights, value] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
        // sum_s dP P = sum_w dO O (Dao et al. 2022): the sum runs over the head's width instead of over S.
        const rows = dy.mul(value).sum(-1, true)
        const scores = drop(FusedKernel.scaledMatMul(dy, v, 1, false, true)).sub(rows).mul(weights)
        return [
          FusedKernel.scaledMatMul(scores, k, scale),
          FusedKernel.scaledMatMul(scores, q, scale, true, false),
          FusedKernel.scaledMatMul(drop(weights), dy, 1, true, false)
        ]
      }
    }
  })
  return fromGroups(fused(queries, k, v), length, heads)
}

/**
 * Computes causal attention in `blocks` blocks of rows: scores of a block with later keys are skipped, which saves a
 * share `(1 - 1 / blocks) / 2` of all scores. `blocks` must divide T, and S equals T.
 */
export const causal = (
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  mask: tf.Tensor,
  heads: number,
  blocks: number,
  dropout?: tf.Tensor | undefined
): tf.Tensor => {
  if (blocks === 1) return apply(q, k, v, mask, heads, dropout)
  const rows = q.shape[1]! / blocks
  const masks = tf.split(mask, blocks, 2)
  const drops = dropout === undefined ? [] : tf.split(dropout, blocks, 2)
  const parts = tf.split(q, blocks, 1).map((part, block) => {
    const seen = (block + 1) * rows
    const upTo = (x: tf.Tensor) => tf.slice(x, [0, 0, 0, 0], [-1, -1, seen, -1])
    const columns = (x: tf.Tensor) => tf.slice(x, [0, 0, 0, 0], [-1, -1, -1, seen])
    const drop = drops[block]
    return apply(part, upTo(k), upTo(v), columns(masks[block]!), heads, drop && columns(drop))
  })
  return tf.concat(parts, 1)
}
