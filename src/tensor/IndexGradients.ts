/**
 * Gradients of kernels that address by index.
 *
 * The gradients of tfjs split a batch row by row or fill arrays of the size of the result, which a traced program with
 * sizes known only at run time cannot do; `GatherNd`, `ScatterNd`, `TensorScatterUpdate` and `TopK` have no gradient.
 */
import * as tf from "@tensorflow/tfjs"

const product = (sizes: ReadonlyArray<number>) => sizes.reduce((total, size) => total * size, 1)

const order = (rank: number) => Array.from({ length: rank }, (_, axis) => axis)

const inverse = (permutation: ReadonlyArray<number>) =>
  order(permutation.length).map((axis) => permutation.indexOf(axis))

/** Returns the product of sizes as a tensor, even where they are known only at run time. */
const sizeOf = (...sizes: Array<number>) => tf.fill(sizes, 1, "int32").sum()

/** Sums over segments whose ids are all in 0 .. numSegments - 1, so that backends need no range check. */
const segmentSum = (x: tf.Tensor, segmentIds: tf.Tensor, numSegments: number): tf.Tensor =>
  tf.engine().runKernel("UnsortedSegmentSum", { x, segmentIds }, { numSegments, inRange: true }) as tf.Tensor

/**
 * Computes the gradient of `tf.gather` from `dy` [batch, outer, places, inner]; returns [batch, outer, size, inner].
 */
const ungather = (
  dy: tf.Tensor,
  indices: tf.Tensor,
  shape: ReadonlyArray<number>,
  axis: number,
  batch: number
): tf.Tensor => {
  const [lead, outer, inner] = [shape.slice(0, batch), shape.slice(batch, axis), shape.slice(axis + 1)]
  const places = indices.shape.slice(batch)
  const size = shape[axis]!
  const axes = order(dy.rank)
  const at = batch + outer.length
  const front = [
    ...axes.slice(0, batch),
    ...axes.slice(at, at + places.length),
    ...axes.slice(batch, at),
    ...axes.slice(at + places.length)
  ]
  const [batches, count] = [product(lead), product(places)]
  const rows = dy.transpose(front).reshape([batches * count, ...outer, ...inner])
  const ids = batch === 0
    ? indices.reshape([count])
    : indices.reshape([batches, count])
      .add(tf.range(0, batches, 1, "int32").mul(sizeOf(size)).reshape([batches, 1]))
      .reshape([batches * count])
  const sums = segmentSum(rows, ids, batches * size).reshape([...lead, size, ...outer, ...inner])
  const all = order(shape.length)
  return sums.transpose(inverse([...all.slice(0, batch), axis, ...all.slice(batch, axis), ...all.slice(axis + 1)]))
}

tf.registerGradient({
  kernelName: "GatherV2",
  inputsToSave: ["x", "indices"],
  gradFunc: (dy, saved, attributes) => {
    const [x, indices] = saved as [tf.Tensor, tf.Tensor]
    const axis = tf.util.parseAxisParam(attributes["axis"] as number, x.shape)[0]!
    const depth = (attributes["batchDims"] as number | undefined) ?? 0
    return {
      x: () => ungather(dy as tf.Tensor, indices, x.shape, axis, depth < 0 ? depth + indices.rank : depth),
      indices: () => tf.fill(indices.shape, 0)
    }
  }
})

tf.registerGradient({
  kernelName: "UnsortedSegmentSum",
  inputsToSave: ["segmentIds"],
  gradFunc: (dy, saved, attributes) => ({
    x: () => {
      const ids = saved[0]!
      const { shape } = dy as tf.Tensor
      if (attributes["inRange"] === true) return tf.gather(dy as tf.Tensor, ids)
      const inside = ids.greaterEqual(tf.scalar(0, "int32")).logicalAnd(ids.less(sizeOf(shape[0]!)))
      const rows = tf.gather(dy as tf.Tensor, ids.mul(inside.cast("int32")))
      return rows.mul(inside.cast("float32").reshape([ids.shape[0]!, ...shape.slice(1).map(() => 1)]))
    }
  })
})

tf.registerGradient({
  kernelName: "GatherNd",
  inputsToSave: ["params", "indices"],
  gradFunc: (dy, saved) => {
    const [params, indices] = saved as [tf.Tensor, tf.Tensor]
    return {
      params: () => tf.scatterND(indices, dy as tf.Tensor, params.shape as [number]),
      indices: () => tf.fill(indices.shape, 0)
    }
  }
})

tf.registerGradient({
  kernelName: "ScatterNd",
  inputsToSave: ["indices"],
  gradFunc: (dy, saved) => {
    const indices = saved[0]!
    return {
      updates: () => tf.gatherND(dy as tf.Tensor, indices),
      indices: () => tf.fill(indices.shape, 0)
    }
  }
})

tf.registerGradient({
  kernelName: "TensorScatterUpdate",
  inputsToSave: ["indices", "updates"],
  gradFunc: (dy, saved) => {
    const [indices, updates] = saved as [tf.Tensor, tf.Tensor]
    return {
      // The JavaScript kernel of tfjs writes into its first argument, which must therefore not be `dy`.
      tensor: () =>
        (dy as tf.Tensor).mul(
          tf.tensorScatterUpdate(tf.fill((dy as tf.Tensor).shape, 1), indices, tf.zerosLike(updates))
        ),
      updates: () => tf.gatherND(dy as tf.Tensor, indices),
      indices: () => tf.fill(indices.shape, 0)
    }
  }
})

tf.registerGradient({
  kernelName: "TopK",
  inputsToSave: ["x"],
  outputsToSave: [false, true],
  gradFunc: (dys, saved) => ({
    x: () => {
      const [x, indices] = saved as [tf.Tensor, tf.Tensor]
      const [dy] = dys as unknown as ReadonlyArray<tf.Tensor>
      const [width, count] = [x.shape.at(-1)!, indices.shape.at(-1)!]
      if (x.rank === 1) return segmentSum(dy!, indices, width)
      const rows = product(x.shape.slice(0, -1))
      const lead = x.shape.slice(0, -1)
      return ungather(dy!.reshape([rows, count]), indices.reshape([rows, count]), [rows, width], 1, 1)
        .reshape([...lead, width])
    }
  })
})
