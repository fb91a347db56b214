/**
 * Kernels that address by index: gathers, scatters, sums over segments, counts, one-hot rows, sequences.
 *
 * ONNX's scatter by coordinates loses updates when indices repeat on several threads; everything that adds is therefore
 * written as `ScatterElements` over flattened rows, which is exact and equal from run to run.
 */
import type * as tf from "@tensorflow/tfjs"
import {
  axesOf,
  castTo,
  elementwise,
  emit,
  fill,
  isConstant,
  reduce,
  register,
  reshape,
  scalar,
  shapeValue,
  sizeValue,
  transpose,
  upTo,
  valueOf,
  vector,
  where
} from "./Emit.ts"
import { current, elementType, LoweringFailure, tensorOf, traced, widen } from "./TracingBackend.ts"

type Tensor = tf.TensorInfo

const product = (sizes: ReadonlyArray<number>) => sizes.reduce((total, size) => total * size, 1)
const integer = (operator: string, ...parts: ReadonlyArray<Tensor>) => elementwise(operator, parts, "int32")
const truth = (operator: string, ...parts: ReadonlyArray<Tensor>) => elementwise(operator, parts, "bool")

register("GatherV2", ({ indices, x }, { axis, batchDims }) => {
  const at = axesOf(axis, x!)[0]!
  const depth = (batchDims as number | undefined) ?? 0
  const batch = depth < 0 ? depth + indices!.shape.length : depth
  const places = indices!.shape.slice(batch)
  const [outer, inner] = [x!.shape.slice(batch, at), x!.shape.slice(at + 1)]
  const ids = castTo(indices!, "int32")
  const { type } = traced(x!)
  if (batch === 0) {
    const { half } = traced(x!)
    if (half !== undefined) {
      // Only the rows that are read are widened.
      const shape = [...outer, ...places, ...inner]
      const rows = current().graph.one("Gather", [half(), valueOf(ids)], { type: "uint16", shape }, { axis: at })
      return tensorOf(widen(rows, shape), shape, "float32")
    }
    return emit("Gather", [valueOf(x!), valueOf(ids)], [...outer, ...places, ...inner], type, { axis: at })
  }
  const lead = x!.shape.slice(0, batch)
  const size = x!.shape[at]!
  // Rows of all batches under one another: row i of batch b is b x size + i.
  const axes = x!.shape.map((_, i) => i)
  const front = [...axes.slice(0, batch), at, ...axes.slice(batch, at), ...axes.slice(at + 1)]
  const rows = reshape(transpose(x!, front), [product(lead) * size, ...outer, ...inner])
  const starts = integer("Mul", upTo("GatherV2", product(lead)), sizeValue("GatherV2", size))
  const flat = integer(
    "Add",
    reshape(ids, [product(lead), product(places)]),
    reshape(starts, [product(lead), 1])
  )
  const found = emit("Gather", [valueOf(rows), valueOf(flat)], [...flat.shape, ...outer, ...inner], type, { axis: 0 })
  const spread = reshape(found, [...lead, ...places, ...outer, ...inner])
  const order = spread.shape.map((_, i) => i)
  const [first, second, third] = [batch, batch + places.length, batch + places.length + outer.length]
  return transpose(spread, [
    ...order.slice(0, first),
    ...order.slice(second, third),
    ...order.slice(first, second),
    ...order.slice(third)
  ])
})

/** Coordinates [..., R] into the first R axes of a shape as row numbers [K], and the shape of those rows. */
const rowsOf = (kernel: string, indices: Tensor, shape: ReadonlyArray<number>) => {
  const places = indices.shape.slice(0, -1)
  const rank = indices.shape.at(-1)!
  const [lead, inner] = [shape.slice(0, rank), shape.slice(rank)]
  const strides = lead.map((_, i) => product(lead.slice(i + 1)))
  const weights = strides.every(isConstant)
    ? vector(strides)
    : castTo(tensorOf(shapeValue(kernel, strides), [rank], "int64"), "int32")
  const numbers = integer("Mul", castTo(indices, "int32"), weights)
  const rows = reshape(reduce("ReduceSum", numbers, [numbers.shape.length - 1], false), [product(places)])
  return { rows, places, inner, count: product(lead) }
}

register("GatherNd", ({ indices, params }) => {
  const { count, inner, places, rows } = rowsOf("GatherNd", indices!, params!.shape)
  const table = reshape(params!, [count, ...inner])
  const found = emit("Gather", [valueOf(table), valueOf(rows)], [product(places), ...inner], traced(table).type, {
    axis: 0
  })
  return reshape(found, [...places, ...inner])
})

/** Writes or adds rows [K, ...] at row numbers [K] of a table [N, ...]. */
const scatterRows = (kernel: string, table: Tensor, rows: Tensor, updates: Tensor, reduction: "add" | "none") => {
  const { type } = traced(table)
  const column = reshape(rows, [rows.shape[0]!, ...table.shape.slice(1).map(() => 1)])
  const index = emit("Expand", [valueOf(column), shapeValue(kernel, updates.shape)], updates.shape, "int32")
  return emit("ScatterElements", [valueOf(table), valueOf(index), valueOf(updates)], table.shape, type, {
    axis: 0,
    reduction
  })
}

/** Zeros as a node, which a later addition may replace by what it adds. */
const zeros = (kernel: string, shape: ReadonlyArray<number>, type: "float32" | "int32") =>
  type === "int32" || shape.includes(0)
    ? fill(shape, 0, type)
    : emit("ConstantOfShape", [shapeValue(kernel, shape)], shape, type)

const segmentSum = (kernel: string, updates: Tensor, rows: Tensor, count: number): Tensor => {
  const type = elementType(updates.dtype) as "float32" | "int32"
  const table = zeros(kernel, [count, ...updates.shape.slice(1)], type)
  return updates.shape.includes(0) ? table : scatterRows(kernel, table, rows, updates, "add")
}

/** A sum over segments that leaves out the rows whose number is not a segment's, as tfjs does. */
const droppingSum = (kernel: string, updates: Tensor, rows: Tensor, count: number): Tensor => {
  const zero = scalar(0, "int32")
  const size = sizeValue(kernel, count)
  const inside = truth("And", truth("GreaterOrEqual", rows, zero), truth("Less", rows, size))
  const column = reshape(inside, [rows.shape[0]!, ...updates.shape.slice(1).map(() => 1)])
  const none = scalar(0, elementType(updates.dtype) as "float32" | "int32")
  return segmentSum(kernel, where(column, updates, none), where(inside, rows, zero), count)
}

register("UnsortedSegmentSum", ({ segmentIds, x }, { inRange, numSegments }) => {
  const sum = inRange === true ? segmentSum : droppingSum
  return sum("UnsortedSegmentSum", castTo(x!, "float32"), castTo(segmentIds!, "int32"), numSegments as number)
})
register("ScatterNd", ({ indices, updates }, { shape }) => {
  const target = shape as Array<number>
  const { count, inner, rows } = rowsOf("ScatterNd", indices!, target)
  const type = elementType(updates!.dtype)
  const flat = reshape(type === "bool" ? castTo(updates!, "int32") : updates!, [rows.shape[0]!, ...inner])
  return castTo(reshape(segmentSum("ScatterNd", flat, rows, count), target), type)
})
register("TensorScatterUpdate", ({ indices, tensor, updates }) => {
  const { count, inner, rows } = rowsOf("TensorScatterUpdate", indices!, tensor!.shape)
  const table = reshape(tensor!, [count, ...inner])
  const flat = reshape(castTo(updates!, traced(table).type), [rows.shape[0]!, ...inner])
  if (flat.shape.includes(0)) return tensor!
  return reshape(scatterRows("TensorScatterUpdate", table, rows, flat, "none"), tensor!.shape)
})

/** Weights of a count: those given, or ones. */
const weightsOf = (x: Tensor, weights: Tensor): Tensor => {
  if (weights.dtype === "bool") throw new LoweringFailure("Bincount", "weights must be numbers")
  return product(weights.shape) === 0 ? fill(x.shape, 1, weights.dtype) : weights
}

const count = (kernel: string, x: Tensor, weights: Tensor, size: number): Tensor => {
  const total = product(x.shape)
  return droppingSum(kernel, reshape(weightsOf(x, weights), [total]), reshape(x, [total]), size)
}

const matches = (kernel: string, indices: Tensor, depth: number): Tensor =>
  truth("Equal", reshape(indices, [...indices.shape, 1]), upTo(kernel, depth))

register("Bincount", ({ weights, x }, { size }) => count("Bincount", x!, weights!, size as number))
register("DenseBincount", ({ weights, x }, { binaryOutput, size }) => {
  if (x!.shape.length === 1) return count("DenseBincount", x!, weights!, size as number)
  const type = elementType(weights!.dtype)
  const here = matches("DenseBincount", x!, size as number)
  if (x!.shape[1] === 0) return fill([x!.shape[0]!, size as number], 0, type)
  if (binaryOutput === true) return castTo(castTo(reduce("ReduceMax", castTo(here, "int32"), [1], false), "bool"), type)
  const weighted = elementwise("Mul", [castTo(here, type), reshape(weightsOf(x!, weights!), [...x!.shape, 1])], type)
  return reduce("ReduceSum", weighted, [1], false)
})
register("OneHot", ({ indices }, { depth, dtype, offValue, onValue }) => {
  const type = elementType((dtype as tf.DataType | undefined) ?? "int32")
  const here = matches("OneHot", castTo(indices!, "int32"), depth as number)
  return onValue === 1 && offValue === 0
    ? castTo(here, type)
    : castTo(where(here, scalar(onValue as number), scalar(offValue as number)), type)
})

register("Range", (_, { dtype, start, step, stop }) => {
  const [from, to, by] = [start as number, stop as number, step as number]
  const type = elementType((dtype as tf.DataType | undefined) ?? "float32")
  if (!isConstant(to)) {
    if (from !== 0 || by !== 1) throw new LoweringFailure("Range", "a run-time sequence counts from 0 by 1")
    return castTo(upTo("Range", to), type)
  }
  const empty = from === to || (from < to && by < 0) || (to < from && by > 1)
  // tfjs counts down from a start above the stop when the step is left at 1.
  const each = from > to && by === 1 ? -1 : by
  const length = empty ? 0 : Math.abs(Math.ceil((to - from) / each))
  return sequence(Array.from({ length }, (__, i) => from + i * each), type)
})
register("LinSpace", (_, { num, start, stop }) => {
  const [from, to, length] = [start as number, stop as number, num as number]
  if (!isConstant(length)) throw new LoweringFailure("LinSpace", "a number of points known only at run time")
  const step = (to - from) / (length - 1)
  return sequence(Array.from({ length }, (__, i) => length === 1 ? from : from + i * step), "float32")
})

const sequence = (values: ReadonlyArray<number>, type: "float32" | "int32" | "bool"): Tensor =>
  type === "float32"
    ? tensorOf(
      current().graph.constant("float32", [values.length], Float32Array.from(values)),
      [values.length],
      "float32"
    )
    : castTo(vector(values), type)
