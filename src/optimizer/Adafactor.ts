/**
 * Adafactor (Shazeer and Stern 2018): the second moment of a matrix is factored into a row and a column, updates are
 * scaled by the root mean square of the weights, and there is no first moment. As in PyTorch, the relative step size is
 * `rho_t = min(rate, 1/sqrt(t))`.
 */
import * as tf from "@tensorflow/tfjs"
import type * as Optimizer from "./Optimizer.ts"

/** Settings of Adafactor, with the defaults of PyTorch. */
export interface AdafactorOptions {
  /** Exponent of the weight of the new squared gradient in the moving average, `t^decay`, t from 1. @default -0.8 */
  readonly decay?: number
  /** Lower bound of the mean of the row factor; its square bounds the second moment. @default 2^-23 */
  readonly epsilon1?: number
  /** Lower bound of the root mean square of the weights. @default 1e-3 */
  readonly epsilon2?: number
  /** Largest root mean square of an update. @default 1 */
  readonly clip?: number
  /** Decoupled weight decay. @default 0 */
  readonly weightDecay?: number
}

const rootMeanSquare = (x: tf.Tensor) => x.square().mean().sqrt()

/** Returns Adafactor, including the learning rate of the schedule. */
export const adafactor = (options: AdafactorOptions = {}): Optimizer.Transform => {
  const { clip = 1, decay = -0.8, epsilon1 = 2 ** -23, epsilon2 = 1e-3, weightDecay = 0 } = options
  const isFactored = (parameter: Optimizer.Parameter) => parameter.shape.length > 1
  return {
    init: (parameters) =>
      Object.fromEntries(parameters.flatMap((parameter): Array<[string, Optimizer.SlotSpec]> => {
        const { name, shape } = parameter
        if (!isFactored(parameter)) return [[`square.${name}`, { shape, start: 0 }]]
        return [
          [`row.${name}`, { shape: [...shape.slice(0, -1), 1], start: 0 }],
          [`column.${name}`, { shape: [...shape.slice(0, -2), 1, shape.at(-1)!], start: 0 }]
        ]
      })),
    scalars: (step, rate) => ({
      adafactorShare: step ** decay,
      adafactorRate: Math.min(rate, 1 / Math.sqrt(step)),
      adafactorKeep: rate * weightDecay
    }),
    update: (gradients, { parameters, scalars, slots, weights }) => {
      const share = scalars["adafactorShare"]!
      const toward = (old: tf.Tensor, next: tf.Tensor) => old.add(next.sub(old).mul(share))
      const updates: Record<string, tf.Tensor> = {}
      const kept: Record<string, tf.Tensor> = {}
      for (const parameter of parameters) {
        const { name } = parameter
        const [gradient, weight] = [gradients[name]!, weights[name]!]
        let variance: tf.Tensor
        if (isFactored(parameter)) {
          const row = toward(slots[`row.${name}`]!, gradient.square().mean(-1, true))
          const column = toward(slots[`column.${name}`]!, gradient.square().mean(-2, true))
          kept[`row.${name}`] = row
          kept[`column.${name}`] = column
          variance = tf.matMul(row, column).div(row.mean(-2, true).maximum(tf.scalar(epsilon1)))
        } else {
          variance = toward(slots[`square.${name}`]!, gradient.square())
          kept[`square.${name}`] = variance
        }
        const direction = variance.maximum(tf.scalar(epsilon1 ** 2)).rsqrt().mul(gradient)
        const size = rootMeanSquare(weight).maximum(tf.scalar(epsilon2)).mul(scalars["adafactorRate"]!)
        const longest = rootMeanSquare(direction).div(tf.scalar(clip)).maximum(tf.scalar(1))
        const step = direction.mul(size.div(longest)).neg()
        updates[name] = weightDecay === 0 ? step : step.sub(weight.mul(scalars["adafactorKeep"]!))
      }
      return { updates, slots: kept }
    }
  }
}
