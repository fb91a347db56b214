/**
 * Tensor programs: named inputs with types and shapes, and a body that is a plain function over tfjs tensors.
 *
 * A compiling runtime calls the body with tracing tensors, an eager runtime with real ones; the body must therefore be
 * pure, read no values, and take its sizes from `tensor.shape`.
 */
import type { Tensor } from "@tensorflow/tfjs"
import * as Half from "../storage/Half.ts"

/** Element type of inputs and outputs. `bool` is stored as bytes 0 and 1. */
export type DataType = "float32" | "int32" | "bool"

/**
 * Element type in which a tensor is stored. The body of a program sees a `bfloat16` input as float32: a runtime over host
 * memory widens it at each use, others when it is placed.
 */
export type StorageType = DataType | "bfloat16"

/**
 * Size of one axis: a number, the name of a size known only at run time (`"B"`), or a sum of such names (`"P+N"`, the
 * length of a concatenation).
 */
export type Dimension = number | string

/** Specification of one input: its type and shape. */
export interface TensorSpec {
  readonly dtype: StorageType
  readonly shape: ReadonlyArray<Dimension>
}

/** A tensor in host memory, row-major. */
export interface HostTensor {
  readonly dtype: StorageType
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array | Int32Array | Uint8Array | Uint16Array
}

/** A program with input names `I` and output names `O`. */
export interface TensorProgram<I extends string = string, O extends string = string> {
  readonly name: string
  readonly inputs: Readonly<Record<I, TensorSpec>>
  readonly body: (inputs: Readonly<Record<I, Tensor>>) => Readonly<Record<O, Tensor>>
}

/**
 * Returns the program unchanged, with its input and output names inferred as types.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as assert from "node:assert/strict"
 * import * as OnnxRuntime from "sidereal/layers/onnx/OnnxRuntime"
 * import * as TensorProgram from "sidereal/tensor/TensorProgram"
 * import { TensorRuntime } from "sidereal/tensor/TensorRuntime"
 *
 * const lengths = TensorProgram.make({
 *   name: "lengths",
 *   inputs: { rows: TensorProgram.float32("N", 2) },
 *   body: ({ rows }) => ({ lengths: rows.square().sum(1).sqrt() })
 * })
 * const program = Effect.gen(function*() {
 *   const runtime = yield* TensorRuntime
 *   const executable = yield* runtime.compile(lengths)
 *   const { lengths: found } = yield* executable.run({
 *     rows: TensorProgram.hostFloat32(Float32Array.of(3, 4, 0, 2), 2, 2)
 *   })
 *   return yield* found.read
 * })
 * const { data, shape } = await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(OnnxRuntime.layerCpu())))
 * assert.deepEqual([shape, Array.from(data)], [[2], [5, 2]])
 * ```
 */
export const make = <I extends string, O extends string>(program: TensorProgram<I, O>): TensorProgram<I, O> => program

/** Returns the specification of a float32 input. */
export const float32 = (...shape: ReadonlyArray<Dimension>): TensorSpec => ({ dtype: "float32", shape })

/** Returns the specification of an int32 input. */
export const int32 = (...shape: ReadonlyArray<Dimension>): TensorSpec => ({ dtype: "int32", shape })

/** Returns the specification of a boolean input. */
export const bool = (...shape: ReadonlyArray<Dimension>): TensorSpec => ({ dtype: "bool", shape })

/** Returns the specification of an input that is stored as bfloat16 and that the body sees as float32. */
export const bfloat16 = (...shape: ReadonlyArray<Dimension>): TensorSpec => ({ dtype: "bfloat16", shape })

/** Makes a host tensor of float32; `data` is not copied. */
export const hostFloat32 = (data: Float32Array, ...shape: ReadonlyArray<number>): HostTensor => ({
  dtype: "float32",
  shape,
  data
})

/** Makes a host tensor of int32; `data` is not copied. */
export const hostInt32 = (data: Int32Array, ...shape: ReadonlyArray<number>): HostTensor => ({
  dtype: "int32",
  shape,
  data
})

/** Makes a host tensor of booleans from bytes 0 and 1; `data` is not copied. */
export const hostBool = (data: Uint8Array, ...shape: ReadonlyArray<number>): HostTensor => ({
  dtype: "bool",
  shape,
  data
})

/** Makes a host tensor of bfloat16 from bit patterns; `data` is not copied. */
export const hostBfloat16 = (data: Uint16Array, ...shape: ReadonlyArray<number>): HostTensor => ({
  dtype: "bfloat16",
  shape,
  data
})

/** Returns a tensor of bfloat16 as a new one of float32, any other tensor itself. */
export const widened = (tensor: HostTensor): HostTensor =>
  tensor.dtype === "bfloat16"
    ? { dtype: "float32", shape: tensor.shape, data: Half.ofBfloat16(tensor.data as Uint16Array) }
    : tensor

/** Returns the names of run-time sizes in a dimension: two for `"P+N"`, none for a number. */
export const symbols = (dimension: Dimension): ReadonlyArray<string> =>
  typeof dimension === "number" ? [] : dimension.split("+").map((part) => part.trim())

/** Formats a shape, such as `[32, T]`. */
export const formatShape = (shape: ReadonlyArray<Dimension>): string => `[${shape.join(", ")}]`

/**
 * Returns the run-time sizes by name, from the shapes of the feeds.
 *
 * Returns the first disagreement instead when a rank, a number or a repeated name does not match.
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
