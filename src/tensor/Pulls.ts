/**
 * Gradients from derivatives by outputs: where a loss is evaluated on the host, one program computes what it depends on,
 * and another carries the derivatives by that back to the parameters.
 */
import * as tf from "@tensorflow/tfjs"
import { type HostTensor, type TensorSpec } from "./TensorProgram.ts"

const named = <A>(values: Readonly<Record<string, A>>): Record<string, A> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`pull.${name}`, value]))

/** Returns the inputs of a program with derivatives of the given specifications. */
export const inputs = (specs: Readonly<Record<string, TensorSpec>>): Record<string, TensorSpec> => named(specs)

/** Returns the feeds of derivatives. */
export const feeds = (pulls: Readonly<Record<string, HostTensor>>): Record<string, HostTensor> => named(pulls)

/** Returns a scalar whose gradient by `x` is `by`, a constant of the same shape; its value is 0. */
const pulled = (x: tf.Tensor, by: tf.Tensor): tf.Tensor =>
  tf.customGrad((...args) => {
    const save = args[1] as unknown as tf.GradSaveFunc
    save([by])
    return { value: tf.scalar(0), gradFunc: (dy: tf.Tensor, [by]: Array<tf.Tensor>) => by!.mul(dy) }
  })(x)

/** Returns a scalar of value 0 whose gradients by the outputs are the derivatives among the inputs of the program. */
export const of = (
  outputs: Readonly<Record<string, tf.Tensor>>,
  inputs: Readonly<Record<string, tf.Tensor>>
): tf.Tensor =>
  Object.entries(outputs)
    .map(([name, output]) => pulled(output, inputs[`pull.${name}`]!.reshape(output.shape)))
    .reduce((sum, one) => sum.add(one))
