/**
 * Gradients of kernels whose operands are broadcast, repeated or contracted.
 *
 * The gradients of tfjs for `Maximum`, `Minimum`, `SquaredDifference`, `Prelu` and `BatchMatMul` do not sum over
 * broadcast axes, that of `Tile` adds one slice per repetition, and `Einsum` has no gradient.
 */
import * as tf from "@tensorflow/tfjs"

const sumTo = (x: tf.Tensor, shape: ReadonlyArray<number>): tf.Tensor => {
  const axes = tf.broadcast_util.getReductionAxes([...shape], x.shape)
  return (axes.length > 0 ? x.sum(axes) : x).reshape([...shape])
}

/** Registers the gradient of an element-wise kernel of two operands from its partial derivatives. */
const elementwise = (
  kernelName: string,
  [left, right]: readonly [string, string],
  partials: (a: tf.Tensor, b: tf.Tensor) => readonly [() => tf.Tensor, () => tf.Tensor]
) =>
  tf.registerGradient({
    kernelName,
    inputsToSave: [left, right],
    gradFunc: (dy, saved) => {
      const [a, b] = saved as [tf.Tensor, tf.Tensor]
      const [da, db] = partials(a, b)
      return {
        [left]: () => sumTo((dy as tf.Tensor).mul(da()), a.shape),
        [right]: () => sumTo((dy as tf.Tensor).mul(db()), b.shape)
      }
    }
  })

elementwise("Maximum", ["a", "b"], (a, b) => [() => a.greaterEqual(b).cast("float32"), () => a.less(b).cast("float32")])
elementwise("Minimum", ["a", "b"], (a, b) => [() => a.lessEqual(b).cast("float32"), () => a.greater(b).cast("float32")])
elementwise("SquaredDifference", ["a", "b"], (a, b) => [() => a.sub(b).mul(2), () => b.sub(a).mul(2)])

elementwise("Prelu", ["x", "alpha"], (x, alpha) => {
  const above = x.greater(0).cast("float32")
  return [() => above.add(alpha.mul(tf.scalar(1).sub(above))), () => x.mul(tf.scalar(1).sub(above))]
})

/** Computes `a' b'`, summed over the batch axes that an operand of `shape` lacks. */
const productTo = (
  a: tf.Tensor,
  b: tf.Tensor,
  transposeA: boolean,
  transposeB: boolean,
  shape: ReadonlyArray<number>
): tf.Tensor => {
  if (shape.length === 2 && a.rank > 2 && a.rank === b.rank && transposeA && !transposeB) {
    // A weight shared by all rows of a batch: one product over all rows, not one per batch entry.
    const flat = (x: tf.Tensor) => x.reshape([-1, x.shape.at(-1)!])
    const [batchA, batchB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)]
    if (batchA.every((size, i) => size === batchB[i])) return tf.matMul(flat(a), flat(b), true, false)
  }
  return sumTo(tf.matMul(a, b, transposeA, transposeB), shape)
}

tf.registerGradient({
  kernelName: "BatchMatMul",
  inputsToSave: ["a", "b"],
  gradFunc: (gradient, saved, attributes) => {
    const dy = gradient as tf.Tensor
    const [a, b] = saved as [tf.Tensor, tf.Tensor]
    const [turnA, turnB] = [attributes["transposeA"] === true, attributes["transposeB"] === true]
    return {
      a: () => turnA ? productTo(b, dy, turnB, true, a.shape) : productTo(dy, b, false, !turnB, a.shape),
      b: () => turnB ? productTo(dy, a, true, turnA, b.shape) : productTo(a, dy, !turnA, false, b.shape)
    }
  }
})

tf.registerGradient({
  kernelName: "Tile",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attributes) => ({
    x: () => {
      const { shape } = saved[0]!
      const times = attributes["reps"] as ReadonlyArray<number>
      const split: Array<number> = []
      const axes: Array<number> = []
      for (const [axis, size] of shape.entries()) {
        if (times[axis] !== 1) {
          axes.push(split.length)
          split.push(times[axis]!)
        }
        split.push(size)
      }
      return axes.length === 0 ? (dy as tf.Tensor).clone() : (dy as tf.Tensor).reshape(split).sum(axes)
    }
  })
})

/** Broadcasts a tensor with axes `letters` to the axes `wanted`. */
const spread = (x: tf.Tensor, letters: string, wanted: string, shape: Array<number>): tf.Tensor => {
  if (letters === wanted) return x
  const sizes = [...wanted].map((letter) => letters.includes(letter) ? x.shape[letters.indexOf(letter)]! : 1)
  return x.reshape(sizes).mul(tf.fill(shape, 1))
}

tf.registerGradient({
  kernelName: "Einsum",
  saveAllInputs: true,
  gradFunc: (gradient, saved, attributes) => {
    const dy = gradient as tf.Tensor
    const [left, out] = (attributes["equation"] as string).replaceAll(/\s/g, "").split("->") as [string, string]
    const terms = left.split(",")
    return Object.fromEntries(terms.map((term, i) => [i, () => {
      const { shape } = saved[i]!
      const other = terms[1 - i]
      const known = [...term].filter((letter) => out.includes(letter) || other?.includes(letter) === true).join("")
      if (other === undefined) {
        return spread(out === known ? dy.clone() : tf.einsum(`${out}->${known}`, dy), known, term, shape)
      }
      if (out !== "") return spread(tf.einsum(`${out},${other}->${known}`, dy, saved[1 - i]!), known, term, shape)
      const rest = known === other ? saved[1 - i]! : tf.einsum(`${other}->${known}`, saved[1 - i]!)
      return spread(rest.mul(dy), known, term, shape)
    }]))
  }
})
