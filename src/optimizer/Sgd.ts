/**
 * Stochastic gradient descent with momentum (Sutskever et al. 2013), in torch's form.
 */
import * as tf from "@tensorflow/tfjs"
import * as Optimizer from "./Optimizer.ts"

/** `b = momentum b + g`; the direction is `b`, or `g + momentum b` with Nesterov's. */
export const trace = (momentum: number, nesterov = false): Optimizer.Transform =>
  Optimizer.withSlots(["momentum"], (gradient, slots) => {
    const held = slots.momentum.mul(tf.scalar(momentum)).add(gradient)
    return {
      update: nesterov ? gradient.add(held.mul(tf.scalar(momentum))) : held,
      slots: { momentum: held }
    }
  })

/** SGD; `weightDecay` is added to the gradient, as torch does. */
export const sgd = (
  options: { readonly momentum?: number; readonly nesterov?: boolean; readonly weightDecay?: number } = {}
): Optimizer.Transform =>
  Optimizer.chain(
    Optimizer.decayWeights(options.weightDecay ?? 0),
    ...(options.momentum === undefined ? [] : [trace(options.momentum, options.nesterov)]),
    Optimizer.scaleByRate()
  )
