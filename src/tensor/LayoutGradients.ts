/**
 * Gradients of kernels that move values along an axis.
 *
 * The gradients of tfjs are wrong for `Cumsum` along any axis but the last and for `MirrorPad` (mirrored values are
 * ignored); `Prod` fails on a negative axis, `SplitV` and `Unpack` on a single part; `StridedSlice` has no gradient.
 */
import * as tf from "@tensorflow/tfjs"

/** Adds entry i of an axis to entry `places[i]` of an axis of `size` entries: the transpose of a gather. */
const addInto = (x: tf.Tensor, axis: number, places: ReadonlyArray<number>, size: number): tf.Tensor => {
  const others = x.shape.map((_, i) => i).filter((i) => i !== axis)
  const front = [axis, ...others]
  const ids = tf.tensor1d([...places], "int32")
  const sums = tf.engine().runKernel(
    "UnsortedSegmentSum",
    { x: x.transpose(front), segmentIds: ids },
    { numSegments: size, inRange: true }
  ) as tf.Tensor
  return sums.transpose(front.map((_, i) => front.indexOf(i)))
}

tf.registerGradient({
  kernelName: "MirrorPad",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attributes) => ({
    x: () => {
      const { shape } = saved[0]!
      const skip = attributes["mode"] === "reflect" ? 1 : 0
      const paddings = attributes["paddings"] as ReadonlyArray<readonly [number, number]>
      return paddings.reduce((gradient, [before, after], axis) => {
        if (before === 0 && after === 0) return gradient
        const size = shape[axis]!
        return addInto(gradient, axis, [
          ...Array.from({ length: before }, (_, i) => before - 1 - i + skip),
          ...Array.from({ length: size }, (_, i) => i),
          ...Array.from({ length: after }, (_, i) => size - 1 - i - skip)
        ], size)
      }, (dy as tf.Tensor).clone())
    }
  })
})

tf.registerGradient({
  kernelName: "StridedSlice",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attributes) => ({
    x: () => {
      const { shape } = saved[0]!
      const masks = ["beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask"] as const
      const [beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask] = masks.map((mask) =>
        attributes[mask] as number
      ) as [number, number, number, number, number]
      const { begin, end, strides } = tf.slice_util.sliceInfo(
        shape,
        attributes["begin"] as Array<number>,
        attributes["end"] as Array<number>,
        attributes["strides"] as Array<number>,
        beginMask,
        endMask,
        ellipsisMask,
        newAxisMask,
        shrinkAxisMask
      )
      const sizes = tf.slice_util.computeOutShape(begin, end, strides)
      return sizes.reduce((gradient, size, axis) => {
        if (size === shape[axis] && strides[axis] === 1) return gradient
        if (strides[axis] === 1) {
          const amounts = shape.map((_, i): [number, number] =>
            i === axis ? [begin[axis]!, shape[axis]! - begin[axis]! - size] : [0, 0]
          )
          return tf.pad(gradient, amounts)
        }
        const places = Array.from({ length: size }, (_, i) => begin[axis]! + i * strides[axis]!)
        return addInto(gradient, axis, places, shape[axis]!)
      }, (dy as tf.Tensor).reshape(sizes))
    }
  })
})

tf.registerGradient({
  kernelName: "Cumsum",
  gradFunc: (dy, _, attributes) => ({
    x: () =>
      tf.cumsum(
        dy as tf.Tensor,
        attributes["axis"] as number,
        attributes["exclusive"] === true,
        attributes["reverse"] !== true
      )
  })
})

tf.registerGradient({
  kernelName: "Prod",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attributes) => ({
    x: () => {
      const x = saved[0]!
      const all = x.shape.map((_, axis) => axis)
      const axes = tf.util.parseAxisParam((attributes["axis"] ?? all) as Array<number>, x.shape)
      if (axes.length === 0) return (dy as tf.Tensor).clone()
      const rest = all.filter((axis) => !axes.includes(axis))
      const order = [...rest, ...axes]
      const kept = rest.map((axis) => x.shape[axis]!)
      const moved = x.transpose(order)
      const flat = moved.reshape([...kept, axes.reduce((count, axis) => count * x.shape[axis]!, 1)])
      // The product of all other entries, without a division: the product of those before times that of those after.
      const others = tf.cumprod(flat, kept.length, true, false).mul(tf.cumprod(flat, kept.length, true, true))
      return others.mul((dy as tf.Tensor).reshape([...kept, 1])).reshape(moved.shape)
        .transpose(all.map((axis) => order.indexOf(axis)))
    }
  })
})

const partsOf = (dy: tf.Tensor | ReadonlyArray<tf.Tensor>): Array<tf.Tensor> => dy instanceof tf.Tensor ? [dy] : [...dy]

tf.registerGradient({
  kernelName: "SplitV",
  gradFunc: (dy, _, attributes) => ({ x: () => tf.concat(partsOf(dy), attributes["axis"] as number) })
})

tf.registerGradient({
  kernelName: "Unpack",
  gradFunc: (dy, _, attributes) => ({ value: () => tf.stack(partsOf(dy), attributes["axis"] as number) })
})
