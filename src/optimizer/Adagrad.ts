/**
 * Adagrad (Duchi et al. 2011): every weight has a rate of its own that falls with the squares it has seen.
 */
import * as tf from "@tensorflow/tfjs"
import * as Optimizer from "./Optimizer.ts"

/** `s = s + g^2`, `g / (sqrt(s) + epsilon)`; the sums begin at `initial`. */
export const scaleByAdagrad = (epsilon = 1e-10, initial = 0): Optimizer.Transform =>
  Optimizer.withSlots(["squares"], (gradient, slots) => {
    const squares = slots.squares.add(gradient.square())
    return { update: gradient.div(squares.sqrt().add(tf.scalar(epsilon))), slots: { squares } }
  }, { start: () => initial })

/** Adagrad at the rate of the schedule. */
export const adagrad = (options: { readonly epsilon?: number; readonly initial?: number } = {}): Optimizer.Transform =>
  Optimizer.chain(scaleByAdagrad(options.epsilon, options.initial), Optimizer.scaleByRate())
