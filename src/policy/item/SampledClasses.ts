/**
 * Classes of a softmax over items: all items of a small catalogue; the targets of a batch and uniform negatives of a
 * large one.
 *
 * A sampled negative stands for `rest / negatives` items, so its logit gets `log(rest / negatives)` (Bengio and
 * Senecal 2008, for a uniform proposal); targets stand for themselves.
 */
import * as Random from "../../statistics/Random.ts"
import { hostFloat32, hostInt32, type HostTensor } from "../../tensor/TensorProgram.ts"

/**
 * Draws the classes for targets [M], of which those with weight 0 do not count, as feeds of `ItemNetwork.classInputs`.
 * All `items` items are classes unless there are more than the targets and `negatives` together; draws follow from the
 * key.
 */
export const feeds = (
  targets: Int32Array,
  weights: Float32Array,
  { items, key, negatives, shape }: {
    readonly items: number
    readonly negatives: number
    readonly key: ReadonlyArray<number>
    /** Shape of the positions, [B, T]. */
    readonly shape: readonly [number, number]
  }
): Record<string, HostTensor> => {
  const classOf = new Int32Array(items).fill(-1)
  const classes: Array<number> = []
  for (const [m, target] of targets.entries()) {
    if (weights[m] === 0 || classOf[target]! >= 0) continue
    classOf[target] = classes.length
    classes.push(target)
  }
  const rest = items - classes.length
  const drawn = Math.min(negatives, rest)
  const corrections = new Float32Array(classes.length + drawn)
  if (drawn === rest) {
    for (let item = 0; item < items; item++) {
      if (classOf[item]! >= 0) continue
      classOf[item] = classes.length
      classes.push(item)
    }
  } else {
    corrections.fill(Math.log(rest / drawn), classes.length)
    const next = Random.uniform(...key)
    for (let left = drawn; left > 0;) {
      const item = Math.floor(next() * items)
      if (classOf[item]! >= 0) continue
      classOf[item] = classes.length
      classes.push(item)
      left--
    }
  }
  const labels = targets.map((target, m) => weights[m] === 0 ? 0 : classOf[target]!)
  return {
    classes: hostInt32(Int32Array.from(classes), classes.length),
    corrections: hostFloat32(corrections, classes.length),
    labels: hostInt32(labels, ...shape),
    weights: hostFloat32(weights, ...shape)
  }
}
