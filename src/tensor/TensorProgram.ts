/**
 * A tensor program: named inputs with their types and shapes, and a body that is a plain function over tfjs tensors.
 *
 * The body is written once. A compiling runtime calls it with tracing tensors, an eager runtime with real ones; it must
 * therefore be pure, read no values, and take its sizes from `tensor.shape`.
 */
import { type Tensor } from "@tensorflow/tfjs"

/** Element types that cross the border of a program. `bool` travels as bytes 0 and 1. */
export type DataType = "float32" | "int32" | "bool"

/**
 * One axis: a number, the name of a size that is known only at run time (`"B"`), or a sum of such names (`"P+N"`, the
 * length of a concatenation).
 */
export type Dimension = number | string

/** Type and shape of one input. */
export interface TensorSpec {
  readonly dtype: DataType
  readonly shape: ReadonlyArray<Dimension>
}

/** A tensor in host memory, row-major. */
export interface HostTensor {
  readonly dtype: DataType
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array | Int32Array | Uint8Array
}

/** A program with input names `I` and output names `O`. */
export interface TensorProgram<I extends string = string, O extends string = string> {
  readonly name: string
  readonly inputs: Readonly<Record<I, TensorSpec>>
  readonly body: (inputs: Readonly<Record<I, Tensor>>) => Readonly<Record<O, Tensor>>
}

/** Makes a program; only fixes the types of the input and output names. */
export const make = <I extends string, O extends string>(program: TensorProgram<I, O>): TensorProgram<I, O> => program

/** A float32 input. */
export const float32 = (...shape: ReadonlyArray<Dimension>): TensorSpec => ({ dtype: "float32", shape })

/** An int32 input. */
export const int32 = (...shape: ReadonlyArray<Dimension>): TensorSpec => ({ dtype: "int32", shape })

/** A boolean input. */
export const bool = (...shape: ReadonlyArray<Dimension>): TensorSpec => ({ dtype: "bool", shape })

/** A host tensor of float32. */
export const hostFloat32 = (data: Float32Array, ...shape: ReadonlyArray<number>): HostTensor => ({
  dtype: "float32",
  shape,
  data
})

/** A host tensor of int32. */
export const hostInt32 = (data: Int32Array, ...shape: ReadonlyArray<number>): HostTensor => ({
  dtype: "int32",
  shape,
  data
})

/** A host tensor of booleans. */
export const hostBool = (data: Uint8Array, ...shape: ReadonlyArray<number>): HostTensor => ({
  dtype: "bool",
  shape,
  data
})

/** Names of run-time sizes in a dimension: `"P+N"` has two, a number none. */
export const symbols = (dimension: Dimension): ReadonlyArray<string> =>
  typeof dimension === "number" ? [] : dimension.split("+").map((part) => part.trim())

/** `[32, T]` as a reader writes it. */
export const formatShape = (shape: ReadonlyArray<Dimension>): string => `[${shape.join(", ")}]`

/**
 * The sizes behind the names, read off the fed shapes.
 *
 * Returns the first disagreement instead when a rank, a number or a repeated name does not fit.
 */
export const bindSymbols = (
  inputs: Readonly<Record<string, TensorSpec>>,
  shapes: Readonly<Record<string, ReadonlyArray<number>>>
): { readonly sizes: ReadonlyMap<string, number> } | {
  readonly input: string
  readonly expected: string
  readonly actual: string
} => {
  const sizes = new Map<string, number>()
  const wrong = (input: string, spec: TensorSpec) => ({
    input,
    expected: formatShape(
      spec.shape.map((dimension) =>
        typeof dimension === "string" && sizes.has(dimension) ? `${dimension}=${sizes.get(dimension)}` : dimension
      )
    ),
    actual: shapes[input] === undefined ? "nothing" : formatShape(shapes[input])
  })
  for (const [input, spec] of Object.entries(inputs)) {
    const shape = shapes[input]
    if (shape === undefined || shape.length !== spec.shape.length) return wrong(input, spec)
    for (const [axis, dimension] of spec.shape.entries()) {
      const size = shape[axis]!
      const names = symbols(dimension)
      if (names.length === 0) {
        if (size !== dimension) return wrong(input, spec)
      } else if (names.length === 1) {
        const known = sizes.get(names[0]!)
        if (known === undefined) sizes.set(names[0]!, size)
        else if (known !== size) return wrong(input, spec)
      }
    }
  }
  for (const [input, spec] of Object.entries(inputs)) {
    for (const [axis, dimension] of spec.shape.entries()) {
      const names = symbols(dimension)
      if (names.length < 2) continue
      const total = names.reduce((sum, name) => sum + (sizes.get(name) ?? Number.NaN), 0)
      if (total !== shapes[input]![axis]) return wrong(input, spec)
    }
  }
  return { sizes }
}
