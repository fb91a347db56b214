/**
 * Adagrad (Duchi et al. 2011): the rate of every weight falls with the sum of its squared gradients.
 */
import * as tf from "@tensorflow/tfjs"
import * as Optimizer from "./Optimizer.ts"

/** Returns the transform `s = s + g^2`, `g / (sqrt(s) + epsilon)`; the sums start at `initial`. */
export const scaleByAdagrad = (epsilon = 1e-10, initial = 0): Optimizer.Transform =>
  Optimizer.withSlots(["squares"], (gradient, slots) => {
    const squares = slots.squares.add(gradient.square())
    return { update: gradient.div(squares.sqrt().add(tf.scalar(epsilon))), slots: { squares } }
  }, { start: () => initial })

/** Returns Adagrad at the learning rate of the schedule; epsilon is 1e-10 and `initial` 0 by default. */
export const adagrad = (options: { readonly epsilon?: number; readonly initial?: number } = {}): Optimizer.Transform =>
  Optimizer.chain(scaleByAdagrad(options.epsilon, options.initial), Optimizer.scaleByRate())
