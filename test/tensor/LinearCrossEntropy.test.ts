/**
 * The cross-entropy with smoothed targets, against sums over the legal classes in float64 and their differences.
 */
import { assert, describe, it } from "@effect/vitest"
import type * as tf from "@tensorflow/tfjs"
import * as Effect from "effect/Effect"
import * as Random from "../../src/statistics/Random.ts"
import * as Autodiff from "../../src/tensor/Autodiff.ts"
import * as LinearCrossEntropy from "../../src/tensor/LinearCrossEntropy.ts"
import { bool, float32, hostBool, hostFloat32, hostInt32, int32, make } from "../../src/tensor/TensorProgram.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import { backends } from "./Backends.ts"

/** Batches of rows with classes of their own: B x M rows of D components, B x V classes. */
const [batches, rows, count, width] = [2, 3, 7, 4]

interface Problem {
  readonly h: Float64Array
  readonly classes: Float64Array
  readonly targets: Int32Array
  readonly weights: Float64Array
  /** Legal classes, [B x M, V]. */
  readonly legal: Uint8Array
  /** Classes whose logits get the addition `by`, [B x M, V]. */
  readonly marks: Uint8Array
  readonly by: Float64Array
}

const problemOf = (scale: number, masked: boolean, added: boolean): Problem => {
  const normal = Random.normal(scale, 0x5300)
  const values = (size: number) => Float64Array.from({ length: size }, () => Math.fround(scale * normal()))
  const targets = Int32Array.of(2, 0, 5, 1, 6, 0)
  return {
    h: values(batches * rows * width),
    classes: values(batches * count * width),
    targets,
    // The third row does not count, and has no legal class where there is a mask; the fourth has one.
    weights: Float64Array.of(0.5, 0.25, 0, 0.125, 1, 0.5),
    legal: Uint8Array.from({ length: batches * rows * count }, (_, i) => {
      const [row, column] = [Math.floor(i / count), i % count]
      if (!masked) return 1
      if (row === 2) return 0
      return column === targets[row] || (row !== 3 && (row + column) % 2 === 0) ? 1 : 0
    }),
    marks: Uint8Array.from({ length: batches * rows * count }, (_, i) => added && i % 3 === 0 ? 1 : 0),
    by: Float64Array.of(-0.75)
  }
}

/** The loss as it is defined, in float64: each legal class has its share of the target distribution. */
const defined = ({ by, classes, h, legal, marks, targets, weights }: Problem, smoothing: number): number => {
  let loss = 0
  for (let row = 0; row < batches * rows; row++) {
    if (weights[row] === 0) continue
    const batch = Math.floor(row / rows)
    const own = Array.from({ length: count }, (_, column) => column).filter((c) => legal[row * count + c] === 1)
    const logits = own.map((column) => {
      let sum = 0
      for (let d = 0; d < width; d++) sum += h[row * width + d]! * classes[(batch * count + column) * width + d]!
      return sum + marks[row * count + column]! * by[0]!
    })
    const most = Math.max(...logits)
    const logSum = most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0))
    for (const [i, column] of own.entries()) {
      const share = smoothing / own.length + (column === targets[row] ? 1 - smoothing : 0)
      loss += weights[row]! * share * (logSum - logits[i]!)
    }
  }
  return loss
}

const differences = (problem: Problem, name: "h" | "classes" | "by", smoothing: number) =>
  problem[name].map((value, i) => {
    const step = 1e-5 * Math.max(1, Math.abs(value))
    const at = (moved: number) => defined({ ...problem, [name]: problem[name].with(i, moved) }, smoothing)
    return (at(value + step) - at(value - step)) / (2 * step)
  })

const found = Effect.fnUntraced(function*(problem: Problem, smoothing: number, masked: boolean, added: boolean) {
  const runtime = yield* TensorRuntime
  // Numbers of rows and classes are not known to the program, as in training.
  const program = yield* runtime.compile(make({
    name: "smoothed",
    inputs: {
      h: float32("B", "M", width),
      classes: float32("B", "V", width),
      targets: int32("B", "M"),
      weights: float32("B", "M"),
      ...(masked ? { legal: bool("B", "M", "V") } : {}),
      ...(added ? { marks: float32("B", "M", "V"), by: float32() } : {})
    },
    body: ({ by, classes, h, legal, marks, targets, weights }: Readonly<Record<string, tf.Tensor>>) => {
      const { gradients, value } = Autodiff.valueAndGradients(
        (own) =>
          LinearCrossEntropy.loss(own.h!, own.classes!, {
            targets: targets!,
            weights: weights!,
            legal,
            smoothing,
            addition: added ? { marks: marks!, by: own.by! } : undefined
          }),
        { h: h!, classes: classes!, ...(added ? { by: by! } : {}) } as Readonly<Record<string, tf.Tensor>>
      )
      return { loss: value, ...gradients }
    }
  }))
  const outputs = yield* program.run({
    h: hostFloat32(Float32Array.from(problem.h), batches, rows, width),
    classes: hostFloat32(Float32Array.from(problem.classes), batches, count, width),
    targets: hostInt32(problem.targets, batches, rows),
    weights: hostFloat32(Float32Array.from(problem.weights), batches, rows),
    ...(masked ? { legal: hostBool(problem.legal, batches, rows, count) } : {}),
    ...(added
      ? {
        marks: hostFloat32(Float32Array.from(problem.marks), batches, rows, count),
        by: hostFloat32(Float32Array.from(problem.by))
      }
      : {})
  })
  const read: Record<string, ArrayLike<number>> = {}
  for (const [name, handle] of Object.entries(outputs)) read[name] = (yield* handle.read).data.slice()
  return read
}, Effect.scoped)

describe("LinearCrossEntropy with label smoothing", () => {
  for (const [backend, layer] of backends) {
    for (const [masked, added] of [[false, false], [true, false], [false, true], [true, true]] as const) {
      const what = `${masked ? "legal" : "all"} classes${added ? ", some with an addition" : ""}`
      it.effect(`is what the smoothed targets make it, ${what} (${backend})`, () =>
        Effect.gen(function*() {
          for (const smoothing of [0, 0.1, 1]) {
            const problem = problemOf(1, masked, added)
            const { by, classes, h, loss } = yield* found(problem, smoothing, masked, added)
            assert.closeTo(loss![0]!, defined(problem, smoothing), 1e-5)
            assert.isBelow(distance(h!, differences(problem, "h", smoothing)), 1e-5)
            assert.isBelow(distance(classes!, differences(problem, "classes", smoothing)), 1e-5)
            if (added) assert.isBelow(distance(by!, differences(problem, "by", smoothing)), 1e-5)
          }
          // Logits so far apart that probabilities are 0 in float32: a masked class would add about a hundred million.
          const far = problemOf(12, masked, added)
          const { classes, h, loss } = yield* found(far, 0.1, masked, added)
          const expected = defined(far, 0.1)
          assert.isAbove(expected, 90)
          assert.isBelow(expected, 2000)
          assert.closeTo(loss![0]!, expected, 1e-5 * expected)
          assert.isTrue([...Array.from(h!), ...Array.from(classes!)].every(Number.isFinite))
        }).pipe(Effect.provide(layer)))
    }
  }
})
