/**
 * Kernels along an axis: sums and other reductions, extremes and their places, running sums, softmax.
 */
import type * as tf from "@tensorflow/tfjs"
import {
  axesOf,
  castTo,
  elementwise,
  emit,
  fill,
  isConstant,
  pad,
  reduce,
  register,
  reshape,
  sizeValue,
  slice,
  valueOf
} from "./Emit.ts"
import type * as OnnxProto from "./OnnxProto.ts"
import { current, elementType, LoweringFailure, tensorOf, traced } from "./TracingBackend.ts"

/** The sum of a filled tensor: its value times the number of its entries, which may be known only at run time. */
const countedSum = (x: tf.TensorInfo, keepDims: boolean): tf.TensorInfo => {
  const { type, value } = traced(x)
  const sum = x.shape.reduce<tf.TensorInfo>(
    (total, size) => elementwise("Mul", [total, castTo(sizeValue("Sum", size), type)], type),
    tensorOf(value, [], type)
  )
  return keepDims ? reshape(sum, x.shape.map(() => 1)) : sum
}

/** A reduction; `empty` is its value over no elements, where it has one. */
const reduction = (
  kernel: string,
  operator: string,
  empty: number,
  prepare: (x: tf.TensorInfo) => tf.TensorInfo = (x) => x,
  finish: (x: tf.TensorInfo) => tf.TensorInfo = (x) => x
) =>
  register(kernel, (inputs, { axis, keepDims, reductionIndices }) => {
    const x = prepare(inputs["x"]!)
    const axes = axesOf(axis ?? reductionIndices, x)
    if (kernel === "Sum" && traced(x).splat && axes.length === x.shape.length) {
      return countedSum(x, keepDims === true)
    }
    if (!axes.some((at) => x.shape[at] === 0)) return finish(reduce(operator, x, axes, keepDims === true))
    const shape = x.shape.flatMap((size, i) => axes.includes(i) ? (keepDims === true ? [1] : []) : [size])
    return finish(fill(shape, empty, x.dtype))
  })

const counted = (x: tf.TensorInfo) => x.dtype === "bool" ? castTo(x, "int32") : x
const truth = (x: tf.TensorInfo) => castTo(x, "bool")

reduction("Sum", "ReduceSum", 0, counted)
reduction("Mean", "ReduceMean", 0, (x) => castTo(x, "float32"))
reduction("Prod", "ReduceProd", 1, counted)
reduction("All", "ReduceMin", 1, (x) => castTo(x, "int32"), truth)
reduction("Any", "ReduceMax", 0, (x) => castTo(x, "int32"), truth)
for (const [kernel, operator, empty] of [["Max", "ReduceMax", -Infinity], ["Min", "ReduceMin", Infinity]] as const) {
  register(kernel, ({ x }, { axis, keepDims, reductionIndices }) => {
    const whole = counted(x!)
    const axes = axesOf(axis ?? reductionIndices, x!)
    if (!axes.some((at) => x!.shape[at] === 0)) {
      return castTo(reduce(operator, whole, axes, keepDims === true), elementType(x!.dtype))
    }
    if (x!.dtype !== "float32") throw new LoweringFailure(kernel, "integers have no extreme over no elements")
    return fill(
      x!.shape.flatMap((size, i) => axes.includes(i) ? (keepDims === true ? [1] : []) : [size]),
      empty,
      "float32"
    )
  })
}

for (const kernel of ["ArgMax", "ArgMin"]) {
  register(kernel, ({ x }, { axis }) => {
    const at = axesOf(axis, x!)[0]!
    const shape = x!.shape.filter((_, i) => i !== at)
    return castTo(emit(kernel, [valueOf(counted(x!))], shape, "int64", { axis: at, keepdims: 0 }), "int32")
  })
}
register("TopK", ({ x }, { k }) => {
  const count = k as number
  const shape = [...x!.shape.slice(0, -1), count]
  const type = elementType(x!.dtype)
  if (shape.includes(0)) return [fill(shape, 0, type), fill(shape, 0, "int32")]
  const { graph } = current()
  const source = counted(x!)
  const lead = x!.shape.slice(0, -1)
  // onnxruntime's TopK ends the process when there are no rows; a last row is added that is cut off again.
  const guarded = !lead.every(isConstant)
  const rows = lead.reduce((total, size) => total * size, 1)
  const width = x!.shape.at(-1)!
  const flat = guarded ? pad(reshape(source, [rows, width]), [[0, 1], [0, 0]], 0) : source
  const found = [...flat.shape.slice(0, -1), count]
  const [values, indices] = graph.node(
    "TopK",
    [valueOf(flat), graph.integers([count])],
    [{ type: traced(source).type, shape: found }, { type: "int64", shape: found }],
    { axis: -1, largest: 1, sorted: 1 }
  )
  const finish = (value: string, from: OnnxProto.ElementType, to: OnnxProto.ElementType) => {
    const whole = castTo(tensorOf(value, found, from), to)
    return guarded ? reshape(slice(whole, [0, 0], [rows, count]), shape) : whole
  }
  return [finish(values!, traced(source).type, type), finish(indices!, "int64", "int32")]
})

register("Cumsum", (inputs, { axis, exclusive, reverse }) => {
  const x = counted(inputs["x"]!)
  if (x.shape.length === 0) return x
  return emit(
    "CumSum",
    [valueOf(x), current().graph.scalar(axesOf(axis, x)[0]!, "int32")],
    x.shape,
    elementType(x.dtype),
    { exclusive: exclusive === true ? 1 : 0, reverse: reverse === true ? 1 : 0 }
  )
})
register("Cumprod", (inputs, { axis, exclusive, reverse }) => {
  const x = counted(inputs["x"]!)
  if (x.shape.length === 0 || x.shape.includes(0)) return x
  const at = axesOf(axis, x)[0]!
  const length = x.shape[at]!
  if (!isConstant(length)) throw new LoweringFailure("Cumprod", "along an axis whose size is known only at run time")
  const shifted = (value: tf.TensorInfo, by: number) => {
    const begin = value.shape.map((_, i) => i === at && reverse === true ? by : 0)
    const size = value.shape.map((whole, i) => i === at ? whole - by : whole)
    const amounts = value.shape.map((_, i): [number, number] =>
      i !== at ? [0, 0] : reverse === true ? [0, by] : [by, 0]
    )
    return pad(slice(value, begin, size), amounts, 1)
  }
  // Products of 1, 2, 4 ... neighbours (Hillis and Steele 1986): a few nodes, whatever the length.
  let value = exclusive === true ? shifted(x, 1) : x
  for (let by = 1; by < length; by *= 2) {
    value = elementwise("Mul", [value, shifted(value, by)], elementType(x.dtype))
  }
  return value
})

register(
  "Softmax",
  ({ logits }, { dim }) => emit("Softmax", [valueOf(logits!)], logits!.shape, "float32", { axis: dim as number })
)
register(
  "LogSoftmax",
  ({ logits }, { axis }) =>
    emit("LogSoftmax", [valueOf(logits!)], logits!.shape, "float32", { axis: axesOf(axis, logits!)[0]! })
)
