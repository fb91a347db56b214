/**
 * Gradients of a loss with respect to named parameters, by reverse-mode differentiation of tfjs.
 */
import * as tf from "@tensorflow/tfjs"
import "./BroadcastGradients.ts"
import "./IndexGradients.ts"
import "./LayoutGradients.ts"
import "./ReductionGradients.ts"

/**
 * Returns the loss and its gradient for every parameter: zeros for one that the loss does not depend on. A loss that
 * depends on none of them throws.
 */
export const valueAndGradients = <K extends string>(
  loss: (parameters: Readonly<Record<K, tf.Tensor>>) => tf.Tensor,
  parameters: Readonly<Record<K, tf.Tensor>>
): { readonly value: tf.Tensor; readonly gradients: Readonly<Record<K, tf.Tensor>> } => {
  const names = Object.keys(parameters) as Array<K>
  if (names.length === 0) return { value: loss(parameters), gradients: parameters }
  // `tf.valueAndGrads` would refuse a parameter without a gradient, such as that of a head of another loss.
  const { grads, value } = tf.engine().gradients(
    () => loss(parameters).asScalar(),
    names.map((name) => parameters[name])
  ) as { readonly value: tf.Tensor; readonly grads: ReadonlyArray<tf.Tensor | undefined> }
  return {
    value,
    gradients: Object.fromEntries(
      names.map((name, i) => [name, grads[i] ?? tf.fill(parameters[name].shape, 0)])
    ) as Record<K, tf.Tensor>
  }
}

/** Returns the loss, auxiliary tensors computed along with it, and the gradient for every parameter. */
export const withAuxiliary = <K extends string, A extends string>(
  compute: (parameters: Readonly<Record<K, tf.Tensor>>) => {
    readonly loss: tf.Tensor
    readonly auxiliary: Readonly<Record<A, tf.Tensor>>
  },
  parameters: Readonly<Record<K, tf.Tensor>>
): {
  readonly value: tf.Tensor
  readonly auxiliary: Readonly<Record<A, tf.Tensor>>
  readonly gradients: Readonly<Record<K, tf.Tensor>>
} => {
  let held: ReadonlyArray<[string, tf.Tensor]> = []
  const { gradients, value } = valueAndGradients((inner: Readonly<Record<K, tf.Tensor>>) => {
    const computed = compute(inner)
    // tfjs disposes of all tensors that the closure computed, except those marked by keep.
    held = Object.entries<tf.Tensor>(computed.auxiliary).map(([name, tensor]) => [name, tf.keep(tensor.clone())])
    return computed.loss
  }, parameters)
  const auxiliary = Object.fromEntries(held.map(([name, tensor]) => [name, tensor.clone()])) as Record<A, tf.Tensor>
  for (const [, tensor] of held) tensor.dispose()
  return { value, gradients, auxiliary }
}
