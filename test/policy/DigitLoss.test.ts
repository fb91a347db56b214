/**
 * The loss on the host, against sums over all classes in float64 and their differences.
 */
import { assert, describe, it } from "@effect/vitest"
import * as DigitLoss from "../../src/policy/parallel/DigitLoss.ts"
import * as Random from "../../src/statistics/Random.ts"
import { distance } from "../Golden.ts"

interface Problem extends DigitLoss.DigitTargets, DigitLoss.DigitColumns {
  readonly positions: number
  /** Logits, [W, M]. */
  readonly logits: Float64Array
}

const problemOf = (seed: number, positions: number, scale: number): Problem => {
  const next = Random.uniform(seed, 1)
  const normal = Random.normal(seed, 2)
  const below = (count: number) => Math.floor(next() * count)
  const [items, levels, width] = [20 + below(30), 1 + below(6), 9]
  const classes = Int32Array.from({ length: items }, (_, item) => item)
    .filter((_, item) => item < 3 || next() < 0.7)
    .toSorted((a, b) => (a * 7) % 11 - (b * 7) % 11)
  return {
    positions,
    levels,
    width,
    columns: Int32Array.from({ length: items * levels }, () => next() < 0.2 ? -1 : below(width)),
    logits: Float64Array.from({ length: width * positions }, () => Math.fround(scale * normal())),
    biases: Float32Array.from({ length: items }, normal),
    addition: -0.75,
    classes,
    corrections: Float32Array.from(classes, normal),
    targets: Int32Array.from({ length: positions }, () => below(classes.length)),
    weights: Float32Array.from({ length: positions }, () => next() < 0.2 ? 0 : next()),
    repeats: Array.from({ length: positions }, () => Array.from(classes.keys()).filter(() => next() < 0.1)),
    smoothing: [0, 0.1, 1][seed % 3]!
  }
}

/** The loss as it is defined. */
const defined = (
  { addition, biases, classes, columns, corrections, levels, logits, positions, repeats, smoothing, targets, weights }:
    Problem
): number => {
  let loss = 0
  for (let m = 0; m < positions; m++) {
    const scores = Array.from(classes, (item, s) => {
      let score = biases[item]! + corrections[s]! + (repeats?.[m]!.includes(s) === true ? addition : 0)
      for (const column of columns.subarray(item * levels, (item + 1) * levels)) {
        if (column >= 0) score += logits[column * positions + m]!
      }
      return score
    })
    const most = Math.max(...scores)
    const logSum = most + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - most), 0))
    for (const [s, score] of scores.entries()) {
      const share = smoothing / scores.length + (s === targets[m] ? 1 - smoothing : 0)
      loss += weights[m]! * share * (logSum - score)
    }
  }
  return loss
}

const slope = (at: (moved: number) => number, value: number) => {
  const step = 1e-5 * Math.max(1, Math.abs(value))
  return (at(value + step) - at(value - step)) / (2 * step)
}

/** Evaluates a problem on memory that may have held larger ones. */
const found = (loss: DigitLoss.DigitLoss, problem: Problem) => {
  const logits = loss.logits(problem.positions)
  logits.set(problem.logits)
  const value = loss.evaluate(problem.positions, problem)
  return { ...value, logits: logits.slice() }
}

describe("DigitLoss", () => {
  it("is what the scores of the classes make it, and so are its derivatives", () => {
    for (const [seed, positions] of [1, 5, 15, 16, 17, 32, 40, 67].entries()) {
      const problem = problemOf(seed, positions, 1)
      const { addition, biases, logits, loss } = found(DigitLoss.make(problem), problem)
      assert.closeTo(loss, defined(problem), 1e-5 * Math.max(1, loss))
      const byLogits = problem.logits.map((value, i) =>
        slope((moved) => defined({ ...problem, logits: problem.logits.with(i, moved) }), value)
      )
      assert.isBelow(distance(logits, byLogits), 1e-5)
      const wide = Float64Array.from(problem.biases)
      const byBiases = wide.map((value, i) =>
        slope((moved) => defined({ ...problem, biases: wide.with(i, moved) }), value)
      )
      assert.isBelow(distance(biases, byBiases), 1e-5)
      const byAddition = slope((moved) => defined({ ...problem, addition: moved }), problem.addition)
      assert.closeTo(addition, byAddition, 1e-5 * Math.max(1, Math.abs(byAddition)))
    }
  })

  it("uses its memory again, whatever the earlier evaluations were", () => {
    const shared = DigitLoss.make(problemOf(3, 1, 1))
    const { columns, levels, width } = problemOf(3, 1, 1)
    for (const positions of [3, 70, 16, 1, 200, 19]) {
      const problem = { ...problemOf(3, positions, 1), columns, levels, width }
      assert.deepStrictEqual(found(shared, problem), found(DigitLoss.make(problem), problem))
    }
  })

  it("is finite for scores that are hundreds apart, and not a number where a logit is none", () => {
    const far = problemOf(1, 20, 80)
    const { logits, loss } = found(DigitLoss.make(far), far)
    const expected = defined(far)
    assert.isAbove(expected, 200)
    assert.closeTo(loss, expected, 1e-5 * expected)
    assert.isTrue(Array.from(logits).every(Number.isFinite))
    const [m, s] = [far.weights.findIndex((weight) => weight > 0), 0]
    const used = far.columns.subarray(far.classes[s]! * far.levels).find((column) => column >= 0)!
    const broken = { ...far, logits: far.logits.with(used * far.positions + m, NaN) }
    assert.isNaN(found(DigitLoss.make(broken), broken).loss)
  })
})
