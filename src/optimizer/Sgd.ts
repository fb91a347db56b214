/**
 * Stochastic gradient descent with momentum (Sutskever et al. 2013), as in PyTorch.
 */
import * as tf from "@tensorflow/tfjs"
import * as Optimizer from "./Optimizer.ts"

/** Returns the transform `b = momentum b + g` with the update `b`, or `g + momentum b` with Nesterov momentum. */
export const trace = (momentum: number, nesterov = false): Optimizer.Transform =>
  Optimizer.withSlots(["momentum"], (gradient, slots) => {
    const held = slots.momentum.mul(tf.scalar(momentum)).add(gradient)
    return {
      update: nesterov ? gradient.add(held.mul(tf.scalar(momentum))) : held,
      slots: { momentum: held }
    }
  })

/**
 * Returns SGD at the learning rate of the schedule, without momentum by default. `weightDecay` (default 0) times the
 * weight is added to the gradient, as in PyTorch.
 */
export const sgd = (
  options: { readonly momentum?: number; readonly nesterov?: boolean; readonly weightDecay?: number } = {}
): Optimizer.Transform =>
  Optimizer.chain(
    Optimizer.decayWeights(options.weightDecay ?? 0),
    ...(options.momentum === undefined ? [] : [trace(options.momentum, options.nesterov)]),
    Optimizer.scaleByRate()
  )
