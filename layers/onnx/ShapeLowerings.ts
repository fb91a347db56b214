/**
 * Kernels that move values without computing: reshaping, cutting, joining, repeating, padding.
 */
import * as tf from "@tensorflow/tfjs"
import {
  alias,
  axesOf,
  emit,
  isConstant,
  noteDerived,
  pad,
  register,
  reshape,
  shapeValue,
  slice,
  stridedSlice,
  transpose,
  valueOf,
  vector
} from "./Emit.ts"
import { LoweringFailure, tensorOf, traced } from "./TracingBackend.ts"

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
register("Transpose", ({ x }, { perm }) => transpose(x!, perm as Array<number>))
register("BroadcastTo", ({ x }, { shape }) => {
  const target = shape as Array<number>
  const { splat, type, value } = traced(x!)
  return splat
    ? tensorOf(value, target, type, true)
    : emit("Expand", [value, shapeValue("BroadcastTo", target)], target, type)
})
register("Tile", ({ x }, { reps }) => {
  const times = reps as Array<number>
  const shape = x!.shape.map((size, axis) => size * times[axis]!)
  const { splat, type, value } = traced(x!)
  if (splat) return tensorOf(value, shape, type, true)
  // tfjs broadcasts by tiling; an axis of size 1 is expanded, which copies less.
  return times.every((count, axis) => count === 1 || x!.shape[axis] === 1)
    ? emit("Expand", [value, shapeValue("Tile", shape)], shape, type)
    : emit("Tile", [value, shapeValue("Tile", times)], shape, type)
})

const concat = (parts: ReadonlyArray<tf.TensorInfo>, at: number): tf.TensorInfo => {
  const shape = [...parts[0]!.shape]
  shape[at] = parts.reduce((sum, part) => sum + part.shape[at]!, 0)
  const joined = emit("Concat", parts.map(valueOf), shape, traced(parts[0]!).type, { axis: at })
  return parts.every((part) => isConstant(part.shape[at]!)) ? joined : noteDerived(joined, [at])
}

register("Concat", (inputs, { axis }) => {
  const parts = Object.values(inputs)
  return parts.length === 1 ? parts[0]! : concat(parts, axesOf(axis, parts[0]!)[0]!)
})
register("Pack", (inputs, { axis }) => {
  const parts = Object.values(inputs)
  const at = (axis as number) < 0 ? (axis as number) + parts[0]!.shape.length + 1 : axis as number
  const shape = [...parts[0]!.shape]
  shape.splice(at, 0, 1)
  return concat(parts.map((part) => reshape(part, shape)), at)
})

register("Slice", ({ x }, { begin, size }) => {
  const [starts, sizes] = tf.slice_util.parseSliceParams(x as tf.Tensor, begin as Array<number>, size as Array<number>)
  return slice(x!, starts!, sizes!)
})
register("StridedSlice", ({ x }, attributes) => {
  const { begin, beginMask, ellipsisMask, end, endMask, newAxisMask, shrinkAxisMask, strides } = attributes as Record<
    string,
    never
  >
  const info = tf.slice_util.sliceInfo(
    x!.shape,
    begin!,
    end!,
    strides!,
    beginMask!,
    endMask!,
    ellipsisMask!,
    newAxisMask!,
    shrinkAxisMask!
  )
  const sizes = tf.slice_util.computeOutShape(info.begin, info.end, info.strides)
  const cut = info.strides.every((stride) => stride === 1)
    ? slice(x!, info.begin, sizes, "StridedSlice")
    : stridedSlice(x!, info.begin, info.strides, sizes)
  return reshape(cut, info.finalShape)
})
register("Reverse", ({ x }, { dims }) => {
  const axes = axesOf(dims, x!)
  return stridedSlice(
    x!,
    x!.shape.map((size, axis) => axes.includes(axis) ? size - 1 : 0),
    x!.shape.map((_, axis) => axes.includes(axis) ? -1 : 1),
    x!.shape
  )
})

const requireConstant = (kernel: string, size: number) => {
  if (!isConstant(size)) throw new LoweringFailure(kernel, "the axis to take apart has a size known only at run time")
}

register("SplitV", ({ x }, { axis, numOrSizeSplits }) => {
  const at = axesOf(axis, x!)[0]!
  const sizes = tf.backend_util.prepareSplitSize(x as tf.Tensor, numOrSizeSplits as Array<number>, at)
  let from = 0
  return sizes.map((length) => {
    const begin = x!.shape.map((_, i) => i === at ? from : 0)
    from += length
    return alias(slice(x!, begin, x!.shape.map((size, i) => i === at ? length : size), "SplitV"))
  })
})
register("Unpack", ({ value }, { axis }) => {
  const at = axesOf(axis, value!)[0]!
  requireConstant("Unpack", value!.shape[at]!)
  const rest = value!.shape.filter((_, i) => i !== at)
  return Array.from({ length: value!.shape[at]! }, (_, index) =>
    reshape(
      slice(
        value!,
        value!.shape.map((_, i) => i === at ? index : 0),
        value!.shape.map((size, i) => i === at ? 1 : size),
        "Unpack"
      ),
      rest
    ))
})

register(
  "PadV2",
  ({ x }, { constantValue, paddings }) => pad(x!, paddings as Array<[number, number]>, constantValue as number)
)
register("MirrorPad", ({ x }, { mode, paddings }) => {
  const skip = mode === "reflect" ? 1 : 0
  return (paddings as Array<[number, number]>).reduce<tf.TensorInfo>((value, [before, after], axis) => {
    if (before === 0 && after === 0) return value
    const size = value.shape[axis]!
    requireConstant("MirrorPad", size)
    const indices = [
      ...Array.from({ length: before }, (_, i) => before - 1 - i + skip),
      ...Array.from({ length: size }, (_, i) => i),
      ...Array.from({ length: after }, (_, i) => size - 1 - i - skip)
    ]
    const shape = value.shape.map((length, i) => i === axis ? indices.length : length)
    return emit("Gather", [valueOf(value), valueOf(vector(indices))], shape, traced(value).type, { axis })
  }, x!)
})
