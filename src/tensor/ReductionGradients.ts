/**
 * Gradients of sums and means that broadcast `dy` by a lazily filled tensor.
 *
 * The gradients of tfjs multiply by a fully allocated array of ones, which a traced program with sizes known only at
 * run time cannot do. The values are the same.
 */
import * as tf from "@tensorflow/tfjs"

const spread = (dy: tf.Tensor, x: tf.Tensor, axis: number | ReadonlyArray<number>): tf.Tensor => {
  const shape = [...x.shape]
  for (const reduced of tf.util.parseAxisParam(axis as number | Array<number>, x.shape)) shape[reduced] = 1
  return dy.reshape(shape).mul(tf.fill(x.shape, 1))
}

const axesOf = (attributes: tf.NamedAttrMap) => attributes["axis"] as number | ReadonlyArray<number>

tf.registerGradient({
  kernelName: "Sum",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attributes) => ({
    x: () => spread(dy as tf.Tensor, saved[0]!, axesOf(attributes))
  })
})

tf.registerGradient({
  kernelName: "Mean",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attributes) => ({
    x: () => {
      const x = saved[0]!
      const axes = tf.util.parseAxisParam(axesOf(attributes) as Array<number>, x.shape)
      const count = tf.fill(axes.map((axis) => x.shape[axis]!), 1).sum()
      return spread((dy as tf.Tensor).div(count), x, axes)
    }
  })
})
