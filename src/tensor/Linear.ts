/**
 * Linear layer with bias, and ReLU, with gradients in few passes over the activations.
 */
import * as tf from "@tensorflow/tfjs"
import { fill } from "@tensorflow/tfjs"

/** Computes `x W' + b`, [M, O], for x [M, I], W [O, I] and b [O]; the bias gradient is a product with ones. */
export const apply = (x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor =>
  tf.customGrad((...args) => {
    const [x, weight, bias, save] = args as unknown as [tf.Tensor2D, tf.Tensor2D, tf.Tensor, tf.GradSaveFunc]
    save([x, weight])
    return {
      value: tf.matMul(x, weight, false, true).add(bias),
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => {
        const [x, weight] = saved as [tf.Tensor2D, tf.Tensor2D]
        const rows = dy as tf.Tensor2D
        const ones = fill([1, rows.shape[0]], 1)
        return [
          tf.matMul(rows, weight),
          tf.matMul(rows, x, true, false),
          tf.matMul(ones as tf.Tensor2D, rows).reshape([rows.shape[1]])
        ]
      }
    }
  })(x, weight, bias)

/** Computes `max(x, 0)`; the gradient is `dy` where the result is positive, else 0. */
export const relu = (x: tf.Tensor): tf.Tensor =>
  tf.customGrad((...args) => {
    const [x, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc]
    const y = tf.relu(x)
    save([y])
    return {
      value: y,
      // The sign of non-negative values in two vectorised passes: Sign and Where run one element at a time.
      gradFunc: (dy: tf.Tensor, saved: Array<tf.Tensor>) => [
        dy.mul(saved[0]!.mul(tf.scalar(1e30)).minimum(tf.scalar(1)))
      ]
    }
  })(x)
