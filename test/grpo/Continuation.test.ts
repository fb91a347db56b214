import { assert, describe, it } from "@effect/vitest"
import * as Continuation from "../../src/grpo/Continuation.ts"
import * as Random from "../../src/statistics/Random.ts"

const of = (...lists: ReadonlyArray<ReadonlyArray<number>>) => lists.map((list) => Int32Array.from(list))

describe("Continuation.make", () => {
  it("draws what followed the latest item of somebody else's, each event with an even chance", () => {
    const sequences = of([7, 1], [1, 2, 1, 3], [5, 1, 2], [1, 9], [4, 1, 7])
    const { continue: go } = Continuation.make(sequences)
    const next = Random.uniform(1, 2)
    const counts = new Map<number, number>()
    const trials = 6000
    for (let i = 0; i < trials; i++) {
      const { items, user } = go({ user: 0, items: sequences[0]! }, next)
      assert.deepStrictEqual([user, ...items.subarray(0, 2)], [0, 7, 1])
      assert.strictEqual(items.length, 3)
      counts.set(items[2]!, (counts.get(items[2]!) ?? 0) + 1)
    }
    // 2 follows twice, 3 and 9 once; 7 is in the history.
    assert.deepStrictEqual([...counts.keys()].toSorted(), [2, 3, 9])
    for (const [item, p] of [[2, 0.5], [3, 0.25], [9, 0.25]] as const) {
      assert.closeTo(counts.get(item)!, trials * p, 4.5 * Math.sqrt(trials * p * (1 - p)))
    }
  })

  it("leaves a history as it is that nobody else continues", () => {
    const sequences = of([1, 2, 3], [4], [], [9, 1, 4])
    const { continue: go } = Continuation.make(sequences)
    const same = (user: number, items: ReadonlyArray<number>) => {
      const history = { user, items: Int32Array.from(items) }
      assert.strictEqual(go(history, () => 0.5), history)
    }
    same(0, [1, 2, 3])
    same(0, [1, 2])
    same(1, [4])
    same(2, [])
    same(5, [4, 1, 2, 3, 9, 1])
    assert.deepStrictEqual([...go({ user: 1, items: Int32Array.of(1) }, () => 0.99).items], [1, 4])
  })

  it("dates the new event by the time that passed in the other sequence, if both are known", () => {
    const sequences = of([1, 2], [2, 3], [2, 3])
    const times = [Float64Array.of(10, 25), Float64Array.of(100, 107), Float64Array.of(NaN, 3)]
    const history = { user: 0, items: sequences[0]!, times: times[0]! }
    const { continue: go } = Continuation.make(sequences, times)
    assert.deepStrictEqual([...go(history, () => 0.1).times!], [10, 25, 32])
    assert.deepStrictEqual([...go(history, () => 0.9).times!], [10, 25, NaN])
    assert.deepStrictEqual([...Continuation.make(sequences).continue(history, () => 0).times!], [10, 25, NaN])
    assert.isUndefined(go({ user: 0, items: sequences[0]! }, () => 0).times)
  })
})
