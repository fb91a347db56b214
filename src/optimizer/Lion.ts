/**
 * Lion (Chen et al. 2023): the sign of an interpolation between gradient and momentum; one slot, and every component
 * changes by the learning rate.
 */
import * as tf from "@tensorflow/tfjs"
import * as Optimizer from "./Optimizer.ts"

/** Returns the transform `sign(b1 m + (1-b1) g)`, then `m = b2 m + (1-b2) g`. */
export const scaleByLion = (beta1 = 0.9, beta2 = 0.99): Optimizer.Transform =>
  Optimizer.withSlots(["momentum"], (gradient, slots) => ({
    update: slots.momentum.mul(tf.scalar(beta1)).add(gradient.mul(tf.scalar(1 - beta1))).sign(),
    slots: { momentum: slots.momentum.mul(tf.scalar(beta2)).add(gradient.mul(tf.scalar(1 - beta2))) }
  }))

/** Returns Lion with decoupled weight decay; betas are 0.9 and 0.99 and the decay is 0 by default. */
export const lion = (
  options: { readonly beta1?: number; readonly beta2?: number; readonly weightDecay?: number } = {}
): Optimizer.Transform =>
  Optimizer.chain(
    scaleByLion(options.beta1, options.beta2),
    Optimizer.decayWeights(options.weightDecay ?? 0),
    Optimizer.scaleByRate()
  )
