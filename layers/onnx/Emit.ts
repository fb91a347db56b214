/**
 * The vocabulary of the lowerings: records nodes for traced tensors, with broadcasting, element types and sizes that are
 * known only at run time.
 */
import * as tf from "@tensorflow/tfjs"
import * as OnnxProto from "./OnnxProto.ts"
import { type Source } from "./SymbolicShape.ts"
import {
  backendName,
  current,
  elementType,
  halfOf,
  LoweringFailure,
  tensorOf,
  type Trace,
  traced,
  widen
} from "./TracingBackend.ts"

/** The inputs of a kernel by the names that tfjs gives them; optional ones may be absent. */
export type Inputs = Readonly<Record<string, tf.TensorInfo>>

/** The attributes of a kernel. */
export type Attributes = Readonly<Record<string, unknown>>

/** Returns the same value as a new tensor: tfjs would take the input itself for an output and count its gradient twice. */
export const alias = (tensor: tf.TensorInfo): tf.TensorInfo => {
  const source = traced(tensor)
  return source.half === undefined
    ? tensorOf(source.value, tensor.shape, source.type, source.splat)
    : halfOf(source.half, tensor.shape)
}

/** Registers the lowering of one kernel. A lowering that returns an input returns an alias of it. */
export const register = (
  kernelName: string,
  lower: (inputs: Inputs, attributes: Attributes) => tf.TensorInfo | Array<tf.TensorInfo>
): void =>
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ attrs, inputs }) => {
      const given = new Set(Object.values(inputs as Inputs).map((tensor) => (tensor as typeof tensor | null)?.dataId))
      const own = (tensor: tf.TensorInfo) => given.has(tensor.dataId) ? alias(tensor) : tensor
      const results = lower(inputs as Inputs, (attrs ?? {}) as Attributes)
      return Array.isArray(results) ? results.map(own) : own(results)
    }
  })

/** Returns whether two shapes are equal. */
export const sameShape = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean =>
  a.length === b.length && a.every((size, axis) => size === b[axis])

/**
 * Sources of sizes that are sums or differences of run-time sizes, such as the `T - 1` of a row without its last
 * entry: they have no name, so the tensor that first had such an axis is asked.
 */
const derivedSizes = new WeakMap<Trace, Map<number, Source>>()

/** Numbers from here on, on an axis of a run-time size, can only be sums or differences of run-time sizes. */
const leastDerived = 50_000

/** An axis: a constant times named run-time sizes and times axes of earlier tensors. */
const axisOf = (
  size: number
): { readonly constant: number; readonly names: ReadonlyArray<string>; readonly derived: ReadonlyArray<Source> } => {
  const trace = current()
  const { constant, factors } = trace.symbols.factor(size)
  const derived: Array<Source> = []
  let rest = constant
  for (const [value, source] of derivedSizes.get(trace) ?? []) {
    while (rest >= value && rest % value === 0) {
      rest /= value
      derived.push(source)
    }
  }
  return { constant: rest, names: factors, derived }
}

/** Returns whether a size is known while tracing. */
export const isConstant = (size: number): boolean => {
  const { derived, names } = axisOf(size)
  return derived.length === 0 && names.length === 0
}

/** Remembers axes of a new tensor whose sizes are sums or differences of run-time sizes. */
export const noteDerived = (tensor: tf.TensorInfo, axes: ReadonlyArray<number>): tf.TensorInfo => {
  const trace = current()
  for (const axis of axes) {
    const size = tensor.shape[axis]!
    if (size < leastDerived || !isConstant(size)) continue
    const known = derivedSizes.get(trace) ?? new Map<number, Source>()
    known.set(size, { input: traced(tensor).value, axis })
    derivedSizes.set(trace, known)
  }
  return tensor
}

const emptyOf = (type: OnnxProto.ElementType) =>
  type === "float32"
    ? new Float32Array(0)
    : type === "int64"
    ? new BigInt64Array(0)
    : type === "int32"
    ? new Int32Array(0)
    : new Uint8Array(0)

/** Records a node with one output. An output known to be empty is a constant: no operator has to cope with it. */
export const emit = (
  operator: string,
  inputs: ReadonlyArray<string>,
  shape: ReadonlyArray<number>,
  type: OnnxProto.ElementType,
  attributes: Readonly<Record<string, OnnxProto.Attribute>> = {},
  domain = ""
): tf.TensorInfo => {
  const { graph } = current()
  return shape.includes(0) && shape.every(isConstant)
    ? tensorOf(graph.constant(type, shape, emptyOf(type)), shape, type)
    : tensorOf(graph.one(operator, inputs, { type, shape }, attributes, domain), shape, type)
}

/** Returns a shape as a graph value: constants where sizes are known, axes of the inputs where they are not. */
export const shapeValue = (kernel: string, shape: ReadonlyArray<number>): string => {
  const { graph, symbols } = current()
  const axes = shape.map(axisOf)
  if (shape.every(isConstant)) return graph.integers(shape)
  const parts = axes.map(({ constant, derived, names }) => {
    let part: string | undefined
    for (const { axis: at, input } of [...names.map(symbols.source), ...derived]) {
      const size = graph.one("Shape", [input], { type: "int64", shape: [1] }, { start: at, end: at + 1 })
      part = part === undefined ? size : graph.one("Mul", [part, size], { type: "int64", shape: [1] })
    }
    if (part === undefined) return graph.integers([constant])
    if (!Number.isInteger(constant)) throw new LoweringFailure(kernel, `cannot express an axis of ${constant} times`)
    return constant === 1 ? part : graph.one("Mul", [part, graph.integers([constant])], { type: "int64", shape: [1] })
  })
  return parts.length === 1
    ? parts[0]!
    : graph.one("Concat", parts, { type: "int64", shape: [shape.length] }, { axis: 0 })
}

/** Returns one size as an int32 scalar tensor. */
export const sizeValue = (kernel: string, size: number): tf.TensorInfo => {
  const { graph } = current()
  if (isConstant(size)) return scalar(size, "int32")
  const flat = graph.one("Reshape", [shapeValue(kernel, [size]), graph.integers([])], { type: "int64", shape: [] })
  return castTo(tensorOf(flat, [], "int64"), "int32")
}

/** Returns the graph value of a tensor; a filled tensor is expanded to its shape first. */
export const valueOf = (tensor: tf.TensorInfo): string => {
  const { splat, type, value } = traced(tensor)
  if (!splat || tensor.shape.length === 0) return value
  const { graph } = current()
  return tensor.shape.includes(0) && tensor.shape.every(isConstant)
    ? graph.constant(type, tensor.shape, emptyOf(type))
    : graph.one("Expand", [value, shapeValue("Expand", tensor.shape)], { type, shape: tensor.shape })
}

/** Returns the graph value of a factor of a product; one in 16 bits is widened once the other factor is there. */
export const factorOf = (tensor: tf.TensorInfo, other: tf.TensorInfo): string => {
  const { half } = traced(tensor)
  return half === undefined || traced(other).half !== undefined
    ? valueOf(tensor)
    : widen(half(valueOf(other)), tensor.shape)
}

/** Makes a constant scalar tensor. */
export const scalar = (value: number, type: "float32" | "int32" | "bool" = "float32"): tf.TensorInfo =>
  tensorOf(current().graph.scalar(value, type), [], type)

/** Makes a constant int32 vector. */
export const vector = (values: ReadonlyArray<number>): tf.TensorInfo =>
  tensorOf(current().graph.constant("int32", [values.length], Int32Array.from(values)), [values.length], "int32")

/** Makes a tensor filled with one value, kept as a scalar until its shape is needed. */
export const fill = (shape: ReadonlyArray<number>, value: number, dtype: tf.DataType): tf.TensorInfo => {
  const type = elementType(dtype)
  return tensorOf(current().graph.scalar(value, type), shape, type, true)
}

/** Reshapes a value to a shape of the same size. */
export const reshape = (tensor: tf.TensorInfo, shape: ReadonlyArray<number>): tf.TensorInfo => {
  if (sameShape(tensor.shape, shape)) return tensor
  const source = traced(tensor)
  if (source.splat) return tensorOf(source.value, shape, source.type, true)
  const kept = (size: number, axis: number) => size === tensor.shape[axis] && !isConstant(size)
  const unknown = shape.flatMap((size, axis) => isConstant(size) || kept(size, axis) ? [] : [axis])
  // -1 cannot be worked out when another axis may turn out to be empty.
  const copied = shape.some(kept)
  const short = !shape.includes(0) && (unknown.length === 0 || (unknown.length === 1 && !copied))
  return short
    ? emit(
      "Reshape",
      [
        source.value,
        current().graph.integers(shape.map((size, axis) => kept(size, axis) ? 0 : unknown.includes(axis) ? -1 : size))
      ],
      shape,
      source.type
    )
    : emit("Reshape", [source.value, shapeValue("Reshape", shape)], shape, source.type, { allowzero: 1 })
}

const broadcastShape = (parts: ReadonlyArray<tf.TensorInfo>): Array<number> =>
  parts.reduce<Array<number>>((shape, part) => tf.backend_util.assertAndGetBroadcastShape(shape, part.shape), [])

/**
 * Applies an element-wise operator to broadcast operands. Filled operands stay scalars where another operand fixes the shape,
 * and the result of filled operands and scalars is filled.
 */
export const elementwise = (
  operator: string,
  parts: ReadonlyArray<tf.TensorInfo>,
  type: OnnxProto.ElementType,
  attributes: Readonly<Record<string, OnnxProto.Attribute>> = {}
): tf.TensorInfo => {
  const shape = broadcastShape(parts)
  if (shape.length > 0 && parts.every((part) => traced(part).splat || part.shape.length === 0)) {
    const value = current().graph.one(
      operator,
      parts.map((part) => traced(part).value),
      { type, shape: [] },
      attributes
    )
    return tensorOf(value, shape, type, true)
  }
  const fixed = parts.some((part) => !traced(part).splat && sameShape(part.shape, shape))
  return emit(operator, parts.map((part) => fixed ? traced(part).value : valueOf(part)), shape, type, attributes)
}

/** Casts a tensor to an element type; returns the tensor itself when it has that type. */
export const castTo = (tensor: tf.TensorInfo, type: OnnxProto.ElementType): tf.TensorInfo =>
  traced(tensor).type === type ? tensor : elementwise("Cast", [tensor], type, { to: OnnxProto.codeOf(type) })

/** Selects `t` where the condition holds, `e` elsewhere. */
export const where = (condition: tf.TensorInfo, t: tf.TensorInfo, e: tf.TensorInfo): tf.TensorInfo => {
  const { type } = traced(t)
  if (type !== "bool") return elementwise("Where", [condition, t, e], type)
  return castTo(elementwise("Where", [condition, castTo(t, "int32"), castTo(e, "int32")], "int32"), "bool")
}

/** Permutes the axes of a tensor. */
export const transpose = (tensor: tf.TensorInfo, order: ReadonlyArray<number>): tf.TensorInfo => {
  if (order.every((axis, i) => axis === i)) return tensor
  const shape = order.map((axis) => tensor.shape[axis]!)
  const { splat, type, value } = traced(tensor)
  return splat ? tensorOf(value, shape, type, true) : emit("Transpose", [value], shape, type, { perm: order })
}

const end = 2 ** 31

/** A bound of a slice: counted from the end of an axis whose size is known only at run time. */
const bound = (kernel: string, at: number, size: number): number | string => {
  if (at === size) return end
  if (at < leastDerived || isConstant(size)) return at
  if (size - at < leastDerived) return at - size
  if (!isConstant(at)) return shapeValue(kernel, [at])
  throw new LoweringFailure(kernel, `a bound of a slice must be a constant, a run-time size, or near the end`)
}

/** A vector of int64 of numbers and of one-element values. */
const integersOf = (parts: ReadonlyArray<number | string>): string => {
  const { graph } = current()
  const constants = parts.filter((part) => typeof part === "number")
  return constants.length === parts.length
    ? graph.integers(constants)
    : graph.one(
      "Concat",
      parts.map((part) => typeof part === "number" ? graph.integers([part]) : part),
      { type: "int64", shape: [parts.length] },
      { axis: 0 }
    )
}

/** Slices `[begin, begin + size)` out of each axis where that is not the whole. */
export const slice = (
  x: tf.TensorInfo,
  begin: ReadonlyArray<number>,
  size: ReadonlyArray<number>,
  kernel = "Slice"
): tf.TensorInfo => {
  const axes = size.flatMap((length, axis) => length === x.shape[axis] ? [] : [axis])
  if (axes.length === 0) return x
  const source = traced(x)
  if (source.splat) return tensorOf(source.value, size, source.type, true)
  const { graph } = current()
  const bounds = (at: (axis: number) => number): string => {
    const values = axes.map((axis) => bound(kernel, at(axis), x.shape[axis]!))
    return values.length === 1 && typeof values[0] === "string" ? values[0] : integersOf(values)
  }
  const starts = bounds((axis) => begin[axis]!)
  const ends = bounds((axis) => begin[axis]! + size[axis]!)
  const { half } = source
  if (half !== undefined) {
    const bounds = [starts, ends, graph.integers(axes)]
    return halfOf(
      (after) => graph.separate("Slice", [half(after), ...bounds], { type: "uint16", shape: size }, {}),
      size
    )
  }
  return noteDerived(emit("Slice", [source.value, starts, ends, graph.integers(axes)], size, source.type), axes)
}

/** Takes every `strides[i]`-th entry from `begin[i]` on; `size` is the number of entries of the result. */
export const stridedSlice = (
  x: tf.TensorInfo,
  begin: ReadonlyArray<number>,
  strides: ReadonlyArray<number>,
  size: ReadonlyArray<number>
): tf.TensorInfo => {
  const axes = size.flatMap((length, axis) => length === x.shape[axis] && strides[axis] === 1 ? [] : [axis])
  const { graph } = current()
  const last = (axis: number) => begin[axis]! + size[axis]! * strides[axis]!
  for (const axis of axes) {
    const whole = size[axis] === x.shape[axis]
    if (!isConstant(x.shape[axis]!) && !(whole && Math.abs(strides[axis]!) === 1)) {
      throw new LoweringFailure("StridedSlice", "strides over an axis whose size is known only at run time")
    }
  }
  // The WebGPU provider cuts from the wrong end where a negative stride begins inside.
  if (current().target === "webgpu" && axes.every((axis) => isConstant(x.shape[axis]!))) {
    return axes.reduce((tensor, axis) => {
      const at = Int32Array.from({ length: size[axis]! }, (_, i) => begin[axis]! + i * strides[axis]!)
      const shape = tensor.shape.map((length, i) => i === axis ? size[axis]! : length)
      return emit("Gather", [valueOf(tensor), graph.constant("int32", [at.length], at)], shape, traced(x).type, {
        axis
      })
    }, x)
  }
  return emit(
    "Slice",
    [
      valueOf(x),
      graph.integers(axes.map((axis) => isConstant(x.shape[axis]!) ? begin[axis]! : strides[axis]! < 0 ? -1 : 0)),
      graph.integers(
        axes.map((axis) => strides[axis]! < 0 ? (last(axis) < 0 ? -end : last(axis)) : Math.min(last(axis), end))
      ),
      graph.integers(axes),
      graph.integers(axes.map((axis) => strides[axis]!))
    ],
    size,
    traced(x).type
  )
}

/** Pads a tensor with a value; an amount may be the difference to a run-time size. */
export const pad = (
  x: tf.TensorInfo,
  pads: ReadonlyArray<readonly [number, number]>,
  value: number
): tf.TensorInfo => {
  const { graph } = current()
  const { type } = traced(x)
  const shape = x.shape.map((size, axis) => size + pads[axis]![0] + pads[axis]![1])
  const known = (wanted: number) =>
    wanted < leastDerived ? wanted : isConstant(wanted) ? undefined : shapeValue("PadV2", [wanted])
  const amount = (axis: number, side: 0 | 1): number | string => {
    const wanted = known(pads[axis]![side])
    if (wanted !== undefined) return wanted
    const other = known(pads[axis]![1 - side]!)
    if (isConstant(shape[axis]!) || other === undefined) {
      throw new LoweringFailure("PadV2", "an amount must be a constant, a run-time size, or what is missing to one")
    }
    const rest = typeof other === "number" ? graph.integers([other]) : other
    return [shapeValue("PadV2", [x.shape[axis]!]), rest].reduce(
      (left, part) => graph.one("Sub", [left, part], { type: "int64", shape: [1] }),
      shapeValue("PadV2", [shape[axis]!])
    )
  }
  const amounts = ([0, 1] as const).flatMap((side) => pads.map((_, axis) => amount(axis, side)))
  return noteDerived(
    emit("Pad", [valueOf(x), integersOf(amounts), graph.scalar(value, elementType(x.dtype))], shape, type),
    shape.flatMap((size, axis) => size === x.shape[axis] ? [] : [axis])
  )
}

/** Returns the integers from 0 up to a size, which may be known only at run time. */
export const upTo = (kernel: string, size: number): tf.TensorInfo => {
  if (isConstant(size)) return vector(Array.from({ length: size }, (_, i) => i))
  const parts = [scalar(0, "int32"), sizeValue(kernel, size), scalar(1, "int32")]
  return emit("Range", parts.map(valueOf), [size], "int32")
}

/** Returns the axes of a reduction as non-negative numbers; all axes when none is given. */
export const axesOf = (axis: unknown, x: tf.TensorInfo): Array<number> =>
  tf.util.parseAxisParam((axis ?? x.shape.map((_, i) => i)) as number | Array<number>, x.shape)

/** Reduces axes with an ONNX operator that takes them as an input. */
export const reduce = (
  operator: string,
  x: tf.TensorInfo,
  axes: ReadonlyArray<number>,
  keepDims: boolean,
  type: OnnxProto.ElementType = traced(x).type
): tf.TensorInfo => {
  if (axes.length === 0) return x
  const shape = x.shape.flatMap((size, i) => axes.includes(i) ? (keepDims ? [1] : []) : [size])
  return emit(operator, [valueOf(x), current().graph.integers(axes)], shape, type, { keepdims: keepDims ? 1 : 0 })
}
