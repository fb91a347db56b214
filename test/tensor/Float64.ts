/**
 * The oracle of the kernels: tfjs's JavaScript backend in float64, and derivatives by finite differences.
 *
 * tfjs's JavaScript kernels make their arrays with whatever `Float32Array` is when they run, so for the length of one
 * evaluation it is `Float64Array`. Nothing of the traced code takes part.
 */
import * as tf from "@tensorflow/tfjs"
import { type DataType, type HostTensor, widened } from "../../src/tensor/TensorProgram.ts"

/** A tensor whose real values are kept in float64. */
export interface WideTensor {
  readonly dtype: DataType
  readonly shape: ReadonlyArray<number>
  readonly data: ReadonlyArray<number>
}

/** The same values. */
export const widen = (tensor: HostTensor): WideTensor => {
  const { data, dtype, shape } = widened(tensor)
  return { dtype: dtype as DataType, shape, data: Array.from(data) }
}

/** Runs tfjs in float64. */
const inFloat64 = <A>(compute: () => A): A => {
  const single = globalThis.Float32Array
  const before = tf.getBackend() as string | undefined
  void tf.setBackend("cpu")
  const engine = tf.engine()
  engine.startScope()
  globalThis.Float32Array = Float64Array as never
  try {
    return compute()
  } finally {
    globalThis.Float32Array = single
    engine.endScope()
    if (before !== undefined && before !== "" && before !== "cpu") void tf.setBackend(before)
  }
}

const tensorOf = ({ data, dtype, shape }: WideTensor): tf.Tensor => tf.tensor([...data], [...shape], dtype)

const tensorsOf = (inputs: Readonly<Record<string, WideTensor>>): Record<string, tf.Tensor> =>
  Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, tensorOf(input)]))

/** What a function over tfjs tensors gives, in float64. */
export const evaluate = <K extends string>(
  inputs: Readonly<Record<string, WideTensor>>,
  compute: (x: Readonly<Record<string, tf.Tensor>>) => Readonly<Record<K, tf.Tensor>>
): Readonly<Record<K, WideTensor>> =>
  inFloat64(() =>
    Object.fromEntries(
      Object.entries<tf.Tensor>(compute(tensorsOf(inputs))).map(([name, tensor]) => [name, {
        dtype: tensor.dtype as DataType,
        shape: tensor.shape,
        data: Array.from(tensor.dataSync())
      }])
    ) as unknown as Record<K, WideTensor>
  )

/** The gradient of a scalar function with respect to one input, by central differences. */
export const finiteDifferences = (
  inputs: Readonly<Record<string, WideTensor>>,
  name: string,
  loss: (x: Readonly<Record<string, tf.Tensor>>) => tf.Tensor
): ReadonlyArray<number> =>
  inFloat64(() => {
    const input = inputs[name]!
    const at = (i: number, value: number) =>
      tf.tidy(() => loss(tensorsOf({ ...inputs, [name]: { ...input, data: input.data.with(i, value) } })))
        .dataSync()[0]!
    return input.data.map((value, i) => {
      const step = 1e-5 * Math.max(1, Math.abs(value))
      return (at(i, value + step) - at(i, value - step)) / (2 * step)
    })
  })
