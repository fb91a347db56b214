import { assert, describe, it } from "@effect/vitest"
import * as SampledClasses from "../../src/policy/item/SampledClasses.ts"
import * as Random from "../../src/statistics/Random.ts"

const draw = (
  targets: ReadonlyArray<number>,
  weights: ReadonlyArray<number>,
  options: { readonly items: number; readonly negatives: number; readonly key?: ReadonlyArray<number> }
) => {
  const feeds = SampledClasses.feeds(Int32Array.from(targets), Float32Array.from(weights), {
    key: [1],
    ...options,
    shape: [1, targets.length]
  })
  return {
    classes: Array.from(feeds["classes"]!.data),
    corrections: Array.from(feeds["corrections"]!.data),
    labels: Array.from(feeds["labels"]!.data),
    weights: Array.from(feeds["weights"]!.data),
    shapes: [feeds["classes"]!.shape, feeds["labels"]!.shape]
  }
}

describe("SampledClasses", () => {
  for (const negatives of [6, 7, 1000]) {
    it(`are all items of a catalogue that is small enough, uncorrected: ${negatives} negatives`, () => {
      const { classes, corrections, labels, shapes } = draw([4, 7, 4, -1, 1], [1, 0.5, 2, 0, 1], {
        items: 9,
        negatives
      })
      assert.deepStrictEqual(classes.toSorted((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8])
      assert.deepStrictEqual(corrections, Array.from({ length: 9 }, () => 0))
      assert.deepStrictEqual([0, 1, 2, 4].map((m) => classes[labels[m]!]), [4, 7, 4, 1])
      assert.deepStrictEqual(shapes, [[9], [1, 5]])
    })
  }

  it("are the targets of positive weight, each once, and distinct others", () => {
    for (let key = 0; key < 50; key++) {
      const next = Random.uniform(key, 2)
      const items = 30 + key
      const targets = Array.from({ length: 12 }, () => Math.floor(next() * items))
      const weights = targets.map(() => next() < 0.3 ? 0 : next() + 0.1)
      const own = draw(targets.map((target, m) => weights[m] === 0 ? -1 : target), weights, {
        items,
        negatives: 10,
        key: [key]
      })
      const wanted = [...new Set(targets.filter((_, m) => weights[m]! > 0))]
      assert.deepStrictEqual(own.classes.slice(0, wanted.length), wanted)
      assert.strictEqual(own.classes.length, wanted.length + 10)
      assert.strictEqual(new Set(own.classes).size, own.classes.length)
      for (const item of own.classes) assert.isTrue(Number.isInteger(item) && item >= 0 && item < items)
      for (const [m, target] of targets.entries()) {
        if (weights[m]! > 0) assert.strictEqual(own.classes[own.labels[m]!], target)
        else assert.strictEqual(own.labels[m], 0)
      }
      for (const [c, correction] of own.corrections.entries()) {
        assert.closeTo(correction, c < wanted.length ? 0 : Math.log((items - wanted.length) / 10), 1e-6)
      }
      assert.deepStrictEqual(own.weights, Array.from(Float32Array.from(weights)))
      // A function of the key.
      const again = draw(targets, weights, { items, negatives: 10, key: [key] })
      assert.deepStrictEqual(again.classes, own.classes)
      assert.notDeepEqual(draw(targets, weights, { items, negatives: 10, key: [key + 100] }).classes, own.classes)
    }
  })

  for (const negatives of [1, 5, 40]) {
    it(`have the normaliser of all items on average: ${negatives} negatives of 50 items`, () => {
      const normal = Random.normal(6)
      const logits = Array.from({ length: 50 }, () => normal())
      const targets = [3, 17, 3, 20]
      const exact = logits.reduce((sum, logit) => sum + Math.exp(logit), 0)
      const counts = new Float64Array(50)
      let [sum, squares] = [0, 0]
      const rounds = 4000
      for (let key = 0; key < rounds; key++) {
        const { classes, corrections } = draw(targets, [1, 1, 1, 1], { items: 50, negatives, key: [key, 5] })
        const own = classes.reduce((total, item, c) => total + Math.exp(logits[item]! + corrections[c]!), 0)
        sum += own
        squares += own * own
        for (const item of classes) counts[item]!++
      }
      const mean = sum / rounds
      const error = Math.sqrt((squares / rounds - mean * mean) / rounds)
      assert.isBelow(Math.abs(mean - exact), 4 * error + 1e-9)
      // The error itself is small, so that a wrong correction would be seen.
      assert.isBelow(error, 0.05 * exact)
      for (const [item, count] of counts.entries()) {
        if (targets.includes(item)) assert.strictEqual(count, rounds)
        else {
          const expected = negatives / 47
          assert.closeTo(count / rounds, expected, 5 * Math.sqrt(expected * (1 - expected) / rounds))
        }
      }
    })
  }
})
