import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Shop from "../../src/catalog/shop/Shop.ts"
import * as Split from "../../src/catalog/Split.ts"
import * as ItemKnn from "../../src/evaluation/baseline/ItemKnn.ts"
import * as Popularity from "../../src/evaluation/baseline/Popularity.ts"
import * as Evaluator from "../../src/evaluation/Evaluator.ts"
import * as Rank from "../../src/evaluation/Rank.ts"

const config = (values: typeof Shop.ShopConfig.Encoded = {}) => Schema.decodeSync(Shop.ShopConfig)(values)

describe("Shop.generate", () => {
  const shop = Shop.generate(config({ users: 300, items: 240 }), 1)

  it("is a function of the seed", () => {
    const again = Shop.generate(config({ users: 300, items: 240 }), 1)
    assert.deepStrictEqual(again.sequences, shop.sequences)
    assert.deepStrictEqual(again.items, shop.items)
    assert.notDeepEqual(Shop.generate(config({ users: 300, items: 240 }), 2).sequences, shop.sequences)
  })

  it("sells each item once to a user, under distinct readable titles", () => {
    assert.strictEqual(new Set(shop.items.map((item) => item.title)).size, 240)
    for (const items of shop.sequences) {
      assert.strictEqual(new Set(items).size, items.length)
      assert.isAtLeast(items.length, 5)
    }
  })

  it("draws from the law that its oracle knows", () => {
    let chi = 0
    let variance = 0
    let events = 0
    for (const [user, items] of shop.sequences.entries()) {
      for (let at = 0; at < items.length; at++) {
        const law = shop.oracle!.scores(user, items.subarray(0, at))
        let sum = 0
        let expected = 0
        let square = 0
        for (const p of law) {
          sum += p
          if (p > 0) {
            expected -= p * Math.log(p)
            square += p * Math.log(p) ** 2
          }
        }
        assert.closeTo(sum, 1, 1e-9)
        assert.isAbove(law[items[at]!]!, 0)
        chi += -Math.log(law[items[at]!]!) - expected
        variance += square - expected ** 2
        events++
      }
    }
    assert.isAbove(events, 3000)
    // The mean surprise of what was drawn equals the entropy of the law, within four standard errors.
    assert.isBelow(Math.abs(chi), 4 * Math.sqrt(variance))
  })

  it.effect("is neither trivial nor random: popularity < neighbours < what the law allows", () =>
    Effect.gen(function*() {
      const whole = Shop.generate(config(), 1)
      const { test, train } = Split.leaveOneOut(whole)
      const hitRate = (ranks: ReadonlyArray<Rank.Rank>) =>
        ranks.reduce((sum, rank) => sum + Rank.hit(rank, 10), 0) / ranks.length
      const [popularity, neighbours] = yield* Effect.forEach(
        [Popularity, ItemKnn],
        ({ fit }) =>
          Effect.map(Evaluator.byScores(test, fit(train, whole.items.length), true), ({ ranks }) => hitRate(ranks))
      )
      const law = Evaluator.byRows(test, ({ history, user }) => whole.oracle!.scores(user, history), true)
      const oracle = hitRate(law.ranks)
      assert.isBelow(popularity!, 0.08)
      assert.isAbove(neighbours!, 3 * popularity!)
      assert.isBelow(neighbours!, 0.7 * oracle)
      assert.isBelow(oracle, 0.6)
    }))
})

describe("Split.leaveOneOut", () => {
  it("tests the last event, validates the one before, trains on the rest; short users only train", () => {
    const split = Split.leaveOneOut({
      name: "x",
      items: [],
      userKeys: ["a", "b", "c"],
      sequences: [Int32Array.of(1, 2, 3, 4), Int32Array.of(5, 6), Int32Array.of(7, 8, 9)],
      counts: []
    })
    assert.deepStrictEqual(split.train.map((items) => [...items]), [[1, 2], [5, 6], [7]])
    assert.deepStrictEqual(split.validation.map(({ history, target, user }) => [user, [...history], target]), [[0, [
      1,
      2
    ], 3], [2, [7], 8]])
    assert.deepStrictEqual(split.test.map(({ history, target, user }) => [user, [...history], target]), [[
      0,
      [1, 2, 3],
      4
    ], [2, [7, 8], 9]])
  })
})

describe("Split", () => {
  it("hands the times of events on with every history, in each split", () => {
    const dataset = Shop.generate(config({ users: 40, items: 30 }), 1)
    const timed = {
      ...dataset,
      times: dataset.sequences.map((items, user) => Float64Array.from(items, (_, at) => 1000 * at + user))
    }
    for (const split of [Split.leaveOneOut(timed), Split.chronological(timed, 3)]) {
      assert.isAbove(split.test.length, 0)
      for (const { history, target, times, user } of [...split.validation, ...split.test]) {
        const at = (times!.at(-1)! - user) / 1000 + 1
        assert.deepStrictEqual([...timed.sequences[user]!.subarray(at - history.length, at)], [...history])
        assert.strictEqual(timed.sequences[user]![at], target)
        assert.strictEqual(times!.length, history.length)
      }
      assert.deepStrictEqual(
        split.trainTimes!.map((list) => [...list]),
        split.train.map((items, user) => [...timed.times[user]!.subarray(0, items.length)])
      )
    }
    assert.isUndefined(Split.leaveOneOut(dataset).trainTimes)
    const split = Split.leaveOneOut(timed)
    const events = split.train.flatMap((items, user) =>
      Array.from(items, (item, at) => ({ item, time: timed.times[user]![at]! }))
    )
    const first = Split.firstTimes(split, 31)!
    for (const [item, time] of first.entries()) {
      const own = events.filter((event) => event.item === item).map((event) => event.time)
      assert.deepStrictEqual(time, own.length === 0 ? NaN : Math.min(...own))
    }
    assert.isNaN(first[30])
    assert.isAbove(first.filter((time) => time >= 0).length, 20)
    assert.isUndefined(Split.firstTimes(Split.leaveOneOut(dataset), 30))
  })
})
