/**
 * RMSprop (Hinton 2012), as in PyTorch.
 */
import * as tf from "@tensorflow/tfjs"
import * as Optimizer from "./Optimizer.ts"

/** Returns the transform `s = a s + (1-a) g^2`, `g / (sqrt(s) + epsilon)`. */
export const scaleByRms = (alpha = 0.99, epsilon = 1e-8): Optimizer.Transform =>
  Optimizer.withSlots(["squares"], (gradient, slots) => {
    const squares = slots.squares.mul(tf.scalar(alpha)).add(gradient.square().mul(tf.scalar(1 - alpha)))
    return { update: gradient.div(squares.sqrt().add(tf.scalar(epsilon))), slots: { squares } }
  })

/** Returns RMSprop at the learning rate of the schedule; alpha is 0.99 and epsilon 1e-8 by default. */
export const rmsProp = (options: { readonly alpha?: number; readonly epsilon?: number } = {}): Optimizer.Transform =>
  Optimizer.chain(scaleByRms(options.alpha, options.epsilon), Optimizer.scaleByRate())
