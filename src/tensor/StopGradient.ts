/**
 * Identity that stops the gradient.
 */
import * as tf from "@tensorflow/tfjs"

/** Returns the same values with gradient 0. */
export const apply = (x: tf.Tensor): tf.Tensor =>
  tf.customGrad((...args) => {
    const [x] = args as unknown as [tf.Tensor]
    return { value: x.clone(), gradFunc: (dy: tf.Tensor) => [tf.zerosLike(dy)] }
  })(x)
