/**
 * How each tfjs kernel is written in ONNX.
 *
 * `ScatterND` with addition loses updates when indices repeat on several threads; sums over segments are therefore
 * written as `ScatterElements`, which is exact and equal from run to run.
 */
import * as tf from "@tensorflow/tfjs"
import * as OnnxProto from "./OnnxProto.ts"
import { backendName, current, elementType, LoweringFailure, tensorOf, traced } from "./TracingBackend.ts"

type Inputs = Readonly<Record<string, tf.TensorInfo>>
type Attributes = Readonly<Record<string, unknown>>

const sameShape = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
  a.length === b.length && a.every((size, axis) => size === b[axis])

/** Registers the lowering of one kernel. */
export const register = (
  kernelName: string,
  lower: (inputs: Inputs, attributes: Attributes) => tf.TensorInfo | Array<tf.TensorInfo>
): void =>
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ attrs, inputs }) => lower(inputs as Inputs, (attrs ?? {}) as Attributes)
  })

/** Records a node with one output. */
export const emit = (
  operator: string,
  inputs: ReadonlyArray<string>,
  shape: ReadonlyArray<number>,
  type: OnnxProto.ElementType,
  attributes: Readonly<Record<string, OnnxProto.Attribute>> = {},
  domain = ""
): tf.TensorInfo => tensorOf(current().graph.one(operator, inputs, { type, shape }, attributes, domain), shape, type)

/** A shape as a graph value: constants where they are known, axes of the inputs where they are not. */
export const shapeValue = (kernel: string, shape: ReadonlyArray<number>): string => {
  const { graph, symbols } = current()
  const axes = shape.map(symbols.factor)
  if (axes.every((axis) => axis.factors.length === 0)) return graph.integers(shape)
  const parts = axes.map((axis) => {
    if (axis.factors.length === 0) return graph.integers([axis.constant])
    let part: string | undefined
    for (const name of axis.factors) {
      const { axis: at, input } = symbols.source(name)
      const size = graph.one("Shape", [input], { type: "int64", shape: [1] }, { start: at, end: at + 1 })
      part = part === undefined ? size : graph.one("Mul", [part, size], { type: "int64", shape: [1] })
    }
    if (part === undefined) throw new LoweringFailure(kernel, `cannot express the axis ${JSON.stringify(axis)}`)
    return axis.constant === 1
      ? part
      : graph.one("Mul", [part, graph.integers([axis.constant])], { type: "int64", shape: [1] })
  })
  return parts.length === 1
    ? parts[0]!
    : graph.one("Concat", parts, { type: "int64", shape: [shape.length] }, { axis: 0 })
}

/** The value of a tensor; a filled tensor is expanded to its shape first. */
export const valueOf = (tensor: tf.TensorInfo): string => {
  const { splat, type, value } = traced(tensor)
  if (!splat || tensor.shape.length === 0) return value
  return current().graph.one("Expand", [value, shapeValue("Expand", tensor.shape)], { type, shape: tensor.shape })
}

/** The same value as a new tensor: tfjs would take the input itself for an output and count its gradient twice. */
const alias = (tensor: tf.TensorInfo): tf.TensorInfo => {
  const { splat, type, value } = traced(tensor)
  return tensorOf(value, tensor.shape, type, splat)
}

const isConstantShape = (shape: ReadonlyArray<number>) =>
  shape.every((size) => current().symbols.factor(size).factors.length === 0)

/** Reshapes a value to a shape of the same size. */
export const reshape = (tensor: tf.TensorInfo, shape: ReadonlyArray<number>): tf.TensorInfo => {
  if (sameShape(tensor.shape, shape)) return alias(tensor)
  const source = traced(tensor)
  if (source.splat) return tensorOf(source.value, shape, source.type, true)
  const { graph, symbols } = current()
  const unknown = shape.flatMap((size, axis) =>
    symbols.factor(size).factors.length > 0 && size !== tensor.shape[axis] ? [axis] : []
  )
  const kept = (size: number, axis: number) => symbols.factor(size).factors.length > 0 && size === tensor.shape[axis]
  const target = unknown.length <= 1
    ? graph.integers(shape.map((size, axis) => kept(size, axis) ? 0 : unknown.includes(axis) ? -1 : size))
    : shapeValue("Reshape", shape)
  return emit("Reshape", [source.value, target], shape, source.type)
}

const fill = (shape: ReadonlyArray<number>, value: number, dtype: tf.DataType): tf.TensorInfo => {
  const type = elementType(dtype)
  return tensorOf(current().graph.scalar(value, type), shape, type, true)
}

const outputShape = (a: tf.TensorInfo, b: tf.TensorInfo) => tf.backend_util.assertAndGetBroadcastShape(a.shape, b.shape)

/** The name of an operand of an element-wise operator: a filled operand stays a scalar if the other fixes the shape. */
const operand = (tensor: tf.TensorInfo, other: tf.TensorInfo, shape: ReadonlyArray<number>) =>
  traced(tensor).splat && sameShape(other.shape, shape) && !traced(other).splat ? traced(tensor).value : valueOf(tensor)

const binary = (kernel: string, operator: string, result?: "bool") =>
  register(kernel, ({ a, b }) => {
    const shape = outputShape(a!, b!)
    return emit(operator, [operand(a!, b!, shape), operand(b!, a!, shape)], shape, result ?? elementType(a!.dtype))
  })

binary("Add", "Add")
binary("Sub", "Sub")
binary("Multiply", "Mul")
binary("RealDiv", "Div")
binary("Maximum", "Max")
binary("Minimum", "Min")
binary("Pow", "Pow")
binary("Greater", "Greater", "bool")
binary("GreaterEqual", "GreaterOrEqual", "bool")
binary("Less", "Less", "bool")
binary("LessEqual", "LessOrEqual", "bool")
binary("Equal", "Equal", "bool")
binary("LogicalAnd", "And", "bool")
binary("LogicalOr", "Or", "bool")
register("NotEqual", ({ a, b }) => {
  const shape = outputShape(a!, b!)
  const equal = emit("Equal", [operand(a!, b!, shape), operand(b!, a!, shape)], shape, "bool")
  return emit("Not", [valueOf(equal)], shape, "bool")
})
register("SquaredDifference", ({ a, b }) => {
  const shape = outputShape(a!, b!)
  const difference = valueOf(emit("Sub", [operand(a!, b!, shape), operand(b!, a!, shape)], shape, "float32"))
  return emit("Mul", [difference, difference], shape, "float32")
})

const unary = (kernel: string, operator: string) =>
  register(kernel, ({ x }) => emit(operator, [valueOf(x!)], x!.shape, elementType(x!.dtype)))

for (
  const [kernel, operator] of [
    ["Exp", "Exp"],
    ["Log", "Log"],
    ["Sqrt", "Sqrt"],
    ["Neg", "Neg"],
    ["Sigmoid", "Sigmoid"],
    ["Tanh", "Tanh"],
    ["Relu", "Relu"],
    ["Reciprocal", "Reciprocal"],
    ["Abs", "Abs"],
    ["Erf", "Erf"],
    ["Floor", "Floor"],
    ["Sign", "Sign"],
    ["Softplus", "Softplus"],
    ["LogicalNot", "Not"]
  ] as const
) unary(kernel, operator)

register("Identity", ({ x }) => alias(x!))
register("Square", ({ x }) => emit("Mul", [valueOf(x!), valueOf(x!)], x!.shape, elementType(x!.dtype)))
register("Rsqrt", ({ x }) => {
  const root = emit("Sqrt", [valueOf(x!)], x!.shape, "float32")
  return emit("Reciprocal", [valueOf(root)], x!.shape, "float32")
})
register("ClipByValue", ({ x }, { clipValueMax, clipValueMin }) => {
  const { graph } = current()
  return emit(
    "Clip",
    [valueOf(x!), graph.scalar(clipValueMin as number), graph.scalar(clipValueMax as number)],
    x!.shape,
    elementType(x!.dtype)
  )
})

register(
  "Fill",
  (_, { dtype, shape, value }) =>
    fill(shape as Array<number>, value as number, (dtype as tf.DataType | undefined) ?? "float32")
)
register("ZerosLike", ({ x }) => fill(x!.shape, 0, x!.dtype))
register("OnesLike", ({ x }) => fill(x!.shape, 1, x!.dtype))
register("Cast", ({ x }, { dtype }) => {
  const type = elementType(dtype as tf.DataType)
  if (type === x!.dtype) return alias(x!)
  return emit("Cast", [valueOf(x!)], x!.shape, type, { to: OnnxProto.codeOf(type) })
})
register("Select", ({ condition, e, t }) => {
  const scalarOr = (tensor: tf.TensorInfo) => traced(tensor).splat ? traced(tensor).value : valueOf(tensor)
  const rank = condition!.shape.length
  const aligned = rank === t!.shape.length || rank === 0
    ? condition!
    : reshape(condition!, [...condition!.shape, ...t!.shape.slice(rank).map(() => 1)])
  return emit("Where", [valueOf(aligned), scalarOr(t!), scalarOr(e!)], t!.shape, elementType(t!.dtype))
})

register(
  "Reshape",
  ({ x }, { shape }) =>
    reshape(x!, tf.util.inferFromImplicitShape(shape as Array<number>, tf.util.sizeFromShape(x!.shape)))
)
register("ExpandDims", ({ input }, { dim }) => {
  const shape = [...input!.shape]
  const at = dim as number
  shape.splice(at < 0 ? at + shape.length + 1 : at, 0, 1)
  return reshape(input!, shape)
})
register("Transpose", ({ x }, { perm }) => {
  const order = perm as Array<number>
  if (order.every((axis, i) => axis === i)) return alias(x!)
  return emit("Transpose", [valueOf(x!)], order.map((axis) => x!.shape[axis]!), traced(x!).type, { perm: order })
})
register(
  "BroadcastTo",
  ({ x }, { shape }) =>
    emit(
      "Expand",
      [valueOf(x!), shapeValue("BroadcastTo", shape as Array<number>)],
      shape as Array<number>,
      traced(x!).type
    )
)
register("Tile", ({ x }, { reps }) => {
  const times = reps as Array<number>
  return emit(
    "Tile",
    [valueOf(x!), shapeValue("Tile", times)],
    x!.shape.map((size, axis) => size * times[axis]!),
    traced(x!).type
  )
})
register("Concat", (inputs, { axis }) => {
  const parts = Object.values(inputs)
  const at = tf.util.parseAxisParam(axis as number, parts[0]!.shape)[0]!
  const shape = [...parts[0]!.shape]
  shape[at] = parts.reduce((sum, part) => sum + part.shape[at]!, 0)
  return emit("Concat", parts.map(valueOf), shape, traced(parts[0]!).type, { axis: at })
})
register("Pack", (inputs, { axis }) => {
  const parts = Object.values(inputs)
  const at = (axis as number) < 0 ? (axis as number) + parts[0]!.shape.length + 1 : axis as number
  const shape = [...parts[0]!.shape]
  shape.splice(at, 0, 1)
  const stacked = [...shape]
  stacked[at] = parts.length
  return emit("Concat", parts.map((part) => valueOf(reshape(part, shape))), stacked, traced(parts[0]!).type, {
    axis: at
  })
})

/** Cuts `[begin, begin + size)` out of the axes where that is not the whole. */
const slice = (x: tf.TensorInfo, begin: ReadonlyArray<number>, size: ReadonlyArray<number>): tf.TensorInfo => {
  const axes = size.flatMap((length, axis) => length === x.shape[axis] ? [] : [axis])
  if (axes.length === 0) return alias(x)
  const starts = axes.map((axis) => begin[axis]!)
  const ends = axes.map((axis) => begin[axis]! + size[axis]! === x.shape[axis] ? 2 ** 31 : begin[axis]! + size[axis]!)
  if (!isConstantShape(starts) || !isConstantShape(ends)) {
    throw new LoweringFailure("Slice", "the bounds of a slice must be constants or the end of the axis")
  }
  const { graph } = current()
  return emit(
    "Slice",
    [valueOf(x), graph.integers(starts), graph.integers(ends), graph.integers(axes)],
    size,
    traced(x).type
  )
}

register("Slice", ({ x }, { begin, size }) => {
  const [starts, sizes] = tf.slice_util.parseSliceParams(x as tf.Tensor, begin as Array<number>, size as Array<number>)
  return slice(x!, starts!, sizes!)
})
register("SplitV", ({ x }, { axis, numOrSizeSplits }) => {
  const at = tf.util.parseAxisParam(axis as number, x!.shape)[0]!
  const sizes = tf.backend_util.prepareSplitSize(x as tf.Tensor, numOrSizeSplits as Array<number>, at)
  let from = 0
  return sizes.map((length) => {
    const begin = x!.shape.map((_, i) => i === at ? from : 0)
    from += length
    return slice(x!, begin, x!.shape.map((size, i) => i === at ? length : size))
  })
})
register("Unpack", ({ value }, { axis }) => {
  const at = tf.util.parseAxisParam(axis as number, value!.shape)[0]!
  const rest = value!.shape.filter((_, i) => i !== at)
  return Array.from({ length: value!.shape[at]! }, (_, index) =>
    reshape(
      slice(
        value!,
        value!.shape.map((_, i) => i === at ? index : 0),
        value!.shape.map((size, i) => i === at ? 1 : size)
      ),
      rest
    ))
})
register("PadV2", ({ x }, { constantValue, paddings }) => {
  const pads = paddings as Array<[number, number]>
  const { graph } = current()
  return emit(
    "Pad",
    [
      valueOf(x!),
      graph.integers([...pads.map((pad) => pad[0]), ...pads.map((pad) => pad[1])]),
      graph.scalar(constantValue as number)
    ],
    x!.shape.map((size, axis) => size + pads[axis]![0] + pads[axis]![1]),
    traced(x!).type
  )
})

const reduction = (kernel: string, operator: string) =>
  register(kernel, ({ x }, { axis, keepDims, reductionIndices }) => {
    const axes = tf.util.parseAxisParam((axis ?? reductionIndices) as number | Array<number>, x!.shape)
    const shape = x!.shape.flatMap((size, i) => axes.includes(i) ? (keepDims === true ? [1] : []) : [size])
    if (axes.length === 0) return alias(x!)
    return emit(operator, [valueOf(x!), current().graph.integers(axes)], shape, elementType(x!.dtype), {
      keepdims: keepDims === true ? 1 : 0
    })
  })

reduction("Sum", "ReduceSum")
reduction("Mean", "ReduceMean")
reduction("Max", "ReduceMax")
reduction("Min", "ReduceMin")
reduction("Prod", "ReduceProd")
register("ArgMax", ({ x }, { axis }) => {
  const at = tf.util.parseAxisParam(axis as number, x!.shape)[0]!
  const shape = x!.shape.filter((_, i) => i !== at)
  const index = emit("ArgMax", [valueOf(x!)], shape, "int64", { axis: at, keepdims: 0 })
  return emit("Cast", [valueOf(index)], shape, "int32", { to: OnnxProto.codeOf("int32") })
})
register(
  "Cumsum",
  ({ x }, { axis, exclusive, reverse }) =>
    emit("CumSum", [valueOf(x!), current().graph.scalar(axis as number, "int32")], x!.shape, elementType(x!.dtype), {
      exclusive: exclusive === true ? 1 : 0,
      reverse: reverse === true ? 1 : 0
    })
)
register(
  "Softmax",
  ({ logits }, { dim }) => emit("Softmax", [valueOf(logits!)], logits!.shape, "float32", { axis: dim as number })
)
register("LogSoftmax", ({ logits }, { axis }) =>
  emit("LogSoftmax", [valueOf(logits!)], logits!.shape, "float32", {
    axis: tf.util.parseAxisParam(axis as number, logits!.shape)[0]!
  }))
register("AddN", (inputs) => {
  const parts = Object.values(inputs)
  return emit("Sum", parts.map(valueOf), parts[0]!.shape, elementType(parts[0]!.dtype))
})

/** `alpha * a' b'`, the primes being transpositions of the last two axes. */
export const matrixProduct = (
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  transposeA: boolean,
  transposeB: boolean,
  alpha = 1
): tf.TensorInfo => {
  const [rankA, rankB] = [a.shape.length, b.shape.length]
  const rows = a.shape[transposeA ? rankA - 1 : rankA - 2]!
  const columns = b.shape[transposeB ? rankB - 2 : rankB - 1]!
  const [inner, other] = [a.shape[transposeA ? rankA - 2 : rankA - 1], b.shape[transposeB ? rankB - 1 : rankB - 2]]
  if (inner !== other) {
    throw new Error(`matMul of shapes [${a.shape.join(",")}] and [${b.shape.join(",")}]: ${inner} is not ${other}`)
  }
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2))
  const shape = [...batch, rows, columns]
  const scale: Record<string, OnnxProto.Attribute> = alpha === 1 ? {} : { alpha: { float: alpha } }
  if (rankA === 2 && rankB === 2) {
    return emit("Gemm", [valueOf(a), valueOf(b)], shape, "float32", {
      ...scale,
      ...(transposeA ? { transA: 1 } : {}),
      ...(transposeB ? { transB: 1 } : {})
    })
  }
  if (!transposeA && !transposeB && alpha === 1) return emit("MatMul", [valueOf(a), valueOf(b)], shape, "float32")
  return emit("FusedMatMul", [valueOf(a), valueOf(b)], shape, "float32", {
    ...scale,
    ...(transposeA ? { transA: 1 } : {}),
    ...(transposeB ? { transB: 1 } : {})
  }, "com.microsoft")
}

register(
  "BatchMatMul",
  ({ a, b }, { transposeA, transposeB }) => matrixProduct(a!, b!, transposeA as boolean, transposeB as boolean)
)

register("GatherV2", ({ indices, x }, { axis, batchDims }) => {
  if (batchDims !== 0 && batchDims !== undefined) {
    throw new LoweringFailure("GatherV2", "gathering with batch dimensions")
  }
  const at = tf.util.parseAxisParam(axis as number, x!.shape)[0]!
  const shape = [...x!.shape.slice(0, at), ...indices!.shape, ...x!.shape.slice(at + 1)]
  return emit("Gather", [valueOf(x!), valueOf(indices!)], shape, traced(x!).type, { axis: at })
})

register("UnsortedSegmentSum", ({ segmentIds, x }, { numSegments }) => {
  const { graph } = current()
  const shape = [numSegments as number, ...x!.shape.slice(1)]
  const column = reshape(segmentIds!, [x!.shape[0]!, ...x!.shape.slice(1).map(() => 1)])
  const index = graph.one("Expand", [valueOf(column), shapeValue("UnsortedSegmentSum", x!.shape)], {
    type: "int32",
    shape: x!.shape
  })
  const zeros = graph.one("ConstantOfShape", [shapeValue("UnsortedSegmentSum", shape)], { type: "float32", shape })
  return emit("ScatterElements", [zeros, index, valueOf(x!)], shape, "float32", { axis: 0, reduction: "add" })
})
