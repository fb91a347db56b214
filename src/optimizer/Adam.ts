/**
 * Adam (Kingma and Ba 2015): the bias-corrected first moment of the gradient over the root of the second moment.
 */
import * as tf from "@tensorflow/tfjs"
import { type AdamWConfig } from "./AdamW.ts"
import * as Optimizer from "./Optimizer.ts"

/**
 * Returns the transform `m = b1 m + (1-b1) g`, `v = b2 v + (1-b2) g^2`,
 * `m / (1-b1^t) / (sqrt(v / (1-b2^t)) + epsilon)`, with t from 1.
 */
export const scaleByAdam = (beta1: number, beta2: number, epsilon: number): Optimizer.Transform =>
  Optimizer.withSlots(["first", "second"], (gradient, slots, _, { scalars }) => {
    const first = slots.first.mul(tf.scalar(beta1)).add(gradient.mul(tf.scalar(1 - beta1)))
    const second = slots.second.mul(tf.scalar(beta2)).add(gradient.square().mul(tf.scalar(1 - beta2)))
    const root = second.sqrt().mul(scalars["adamRoot"]!).add(tf.scalar(epsilon))
    return { update: first.mul(scalars["adamMean"]!).div(root), slots: { first, second } }
  }, {
    scalars: (step) => ({ adamMean: 1 / (1 - beta1 ** step), adamRoot: 1 / Math.sqrt(1 - beta2 ** step) })
  })

/**
 * Returns AdamW (Loshchilov and Hutter 2019): clipping, Adam, decoupled decay of matrices, moving average. On host
 * memory the fused kernel of `AdamW` runs instead of the transform.
 */
export const adamW = (config: AdamWConfig): Optimizer.Optimizer => ({
  fused: config,
  transform: Optimizer.chain(
    Optimizer.clipByGlobalNorm(config.maxGradientNorm),
    scaleByAdam(config.beta1, config.beta2, config.epsilon),
    Optimizer.decayWeights(config.weightDecay),
    Optimizer.scaleByRate(),
    ...(config.averaging > 0 ? [Optimizer.averageWeights(config.averaging)] : [])
  )
})
