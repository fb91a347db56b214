/**
 * Gradients of a loss with respect to named parameters, by tfjs's own reverse mode.
 */
import * as tf from "@tensorflow/tfjs"
import "./BroadcastGradients.ts"
import "./IndexGradients.ts"
import "./LayoutGradients.ts"
import "./ReductionGradients.ts"

/** The loss and its gradient for every parameter. */
export const valueAndGradients = <K extends string>(
  loss: (parameters: Readonly<Record<K, tf.Tensor>>) => tf.Tensor,
  parameters: Readonly<Record<K, tf.Tensor>>
): { readonly value: tf.Tensor; readonly gradients: Readonly<Record<K, tf.Tensor>> } => {
  const names = Object.keys(parameters) as Array<K>
  const { grads, value } = tf.valueAndGrads((...xs: Array<tf.Tensor>) =>
    loss(Object.fromEntries(names.map((name, i) => [name, xs[i]!])) as Record<K, tf.Tensor>).asScalar()
  )(names.map((name) => parameters[name]))
  return { value, gradients: Object.fromEntries(names.map((name, i) => [name, grads[i]!])) as Record<K, tf.Tensor> }
}
