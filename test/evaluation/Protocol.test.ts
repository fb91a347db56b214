import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as Import from "../../src/catalog/Import.ts"
import * as Shop from "../../src/catalog/shop/Shop.ts"
import * as Split from "../../src/catalog/Split.ts"
import * as ItemKnn from "../../src/evaluation/baseline/ItemKnn.ts"
import * as Popularity from "../../src/evaluation/baseline/Popularity.ts"
import * as EvaluationRecord from "../../src/evaluation/EvaluationRecord.ts"
import * as Evaluator from "../../src/evaluation/Evaluator.ts"
import * as PolicyRanking from "../../src/evaluation/PolicyRanking.ts"
import * as Protocol from "../../src/evaluation/Protocol.ts"
import * as Rank from "../../src/evaluation/Rank.ts"
import * as Random from "../../src/statistics/Random.ts"
import { importing, services } from "../catalog/Importing.ts"
import * as RandomPolicy from "../decode/RandomPolicy.ts"
import { data, list } from "../Golden.ts"

const modes = [true, false]

/** Examples of which every other one has a target that stands in its history. */
const halfRepeat = (items: number, count: number, seed: number): ReadonlyArray<Split.Example> => {
  const next = Random.uniform(seed, 0x4a1f)
  return Array.from({ length: count }, (_, user) => {
    const history = Int32Array.from({ length: 1 + Math.floor(next() * 6) }, () => Math.floor(next() * items))
    const others = Array.from({ length: items }, (_, item) => item).filter((item) => !history.includes(item))
    const from = user % 2 === 0 ? history : others
    return { user, history, target: from[Math.floor(next() * from.length)]! }
  })
}

/** The place of the target when all items that a list may hold are sorted by their scores. */
const bruteForce = (scores: ArrayLike<number>, { history, target }: Split.Example, historyExcluded: boolean) => {
  const open = Array.from(scores, (_, item) => item).filter((item) => !historyExcluded || !history.includes(item))
  return open.includes(target)
    ? {
      better: open.filter((item) => scores[item]! > scores[target]!).length,
      tied: open.filter((item) => scores[item] === scores[target]).length - 1
    }
    : Rank.unlisted
}

describe("one rule for every model", () => {
  const cases = Array.from({ length: 20 }, (_, seed) => {
    const index = RandomPolicy.catalogue(20 + 3 * seed, 3 + seed % 4, seed)
    return { seed, index, items: index.sids.length, examples: halfRepeat(index.sids.length, 40, seed) }
  })

  it("counts targets that stand in their own history", () => {
    for (const { examples } of cases) assert.strictEqual(Protocol.repeatedTargets(examples), examples.length / 2)
  })

  it.effect("ranks of a policy are those of brute force, history excluded or kept", () =>
    Effect.gen(function*() {
      for (const { examples, index, seed } of cases) {
        for (const historyExcluded of modes) {
          const found = yield* PolicyRanking.rankAll(examples, {}, {
            beams: index.trie.nodes,
            batch: 8,
            historyExcluded
          }).pipe(Effect.provide(RandomPolicy.layer(index, seed)))
          for (const [i, example] of examples.entries()) {
            // SIDs of equal probability stand in the order of the trie; only items of one SID are tied.
            const order = RandomPolicy.enumerate(index, example.history, seed).map(({ leaf }) => leaf)
            const scores = Float64Array.from(index.leafOf, (leaf) => -order.indexOf(leaf))
            assert.deepStrictEqual(found[i]!.item, bruteForce(scores, example, historyExcluded), `seed ${seed}`)
            if (historyExcluded && example.history.includes(example.target)) {
              assert.deepStrictEqual(found[i]!.sid, Rank.unlisted)
            } else assert.isBelow(found[i]!.sid.better, index.trie.nodes)
          }
        }
      }
    }))

  it("ranks of baselines are those of brute force, history excluded or kept", () => {
    for (const { examples, items } of cases) {
      for (const { scores } of [Popularity, ItemKnn].map(({ fit }) => fit(examples.map((e) => e.history), items))) {
        for (const historyExcluded of modes) {
          const { ranks, top } = Evaluator.byScores(examples, scores, historyExcluded)
          for (const [i, example] of examples.entries()) {
            const own = scores(example.history, example.user)
            assert.deepStrictEqual(ranks[i], bruteForce(own, example, historyExcluded))
            if (historyExcluded) assert.isFalse(top[i]!.some((item) => example.history.includes(item)))
          }
        }
      }
    }
  })

  it("is said where the history is excluded and a target stands in it", () => {
    const describeHistory = (historyExcluded: boolean, repeatedTargets: number) =>
      EvaluationRecord.describeHistory({
        users: 4533,
        protocol: { historyExcluded, repeatedTargets }
      } as EvaluationRecord.EvaluationRecord)
    assert.strictEqual(
      describeHistory(true, 128),
      "history excluded: 128 of 4,533 targets stand in the history and count as a miss"
    )
    assert.include(describeHistory(true, 1), "1 of 4,533 targets stands in the history and counts as a miss")
    assert.strictEqual(describeHistory(true, 0), "history excluded")
    assert.strictEqual(describeHistory(false, 128), "history kept")
  })

  it.effect("fills every list of a shop with ten beams", () =>
    Effect.gen(function*() {
      const shop = Shop.generate(Schema.decodeSync(Shop.ShopConfig)({ users: 300, items: 60 }), 1)
      const { test } = Split.leaveOneOut(shop)
      const index = RandomPolicy.catalogue(shop.items.length, 12, 1)
      const found = yield* PolicyRanking.rankAll(test, {}, { beams: 10, batch: 32, historyExcluded: true }).pipe(
        Effect.provide(RandomPolicy.layer(index, 1))
      )
      const full = found.filter(({ ranked }, i) => {
        const excluded = Protocol.excludedItems(test[i]!.history, true)
        const listed = PolicyRanking.rankedItems(index, ranked, excluded).slice(0, 10)
        assert.isFalse(listed.some(({ item }) => excluded.has(item)))
        return listed.length === 10
      })
      assert.strictEqual(full.length, test.length)
    }))

  it.effect("imports repeats as they are, so that the rule meets them", () =>
    Effect.gen(function*() {
      const rows = Array.from({ length: 20 }, (_, u) =>
        Array.from({ length: 6 }, (_, t) => `u${u},${(u + t % 2) % 20},${100 + t}\n`)).flat()
      const dataset = yield* importing({ "events.csv": `user_id,item_id,timestamp\n${rows.join("")}` }, "events.csv")
      const { test, train } = Split.leaveOneOut(dataset)
      assert.strictEqual(Protocol.repeatedTargets(test), 20)
      for (const { fit } of [Popularity, ItemKnn]) {
        const { scores } = fit(train, dataset.items.length)
        assert.isTrue(
          Evaluator.byScores(test, scores, true).ranks.every((rank) =>
            rank === Rank.unlisted
          )
        )
        assert.isFalse(Evaluator.byScores(test, scores, false).ranks.some((rank) => rank === Rank.unlisted))
      }
    }).pipe(Effect.provide(services)))

  for (const folder of list(data).filter((name) => name === "minionerec-industrial")) {
    it.effect(`holds on real data: ${folder}`, () =>
      Effect.gen(function*() {
        const dataset = yield* Import.load(join(data, folder))
        const { test, train } = yield* Split.split(dataset, new Split.SplitConfig({ window: 10 }))
        assert.deepStrictEqual([Protocol.repeatedTargets(test), test.length], [128, 4533])
        const hitRates = [Popularity, ItemKnn].map(({ fit }) => {
          const { ranks } = Evaluator.byScores(test, fit(train, dataset.items.length).scores, true)
          return (ranks.reduce((sum, rank) => sum + Rank.hit(rank, 10), 0) / ranks.length).toFixed(4)
        })
        assert.deepStrictEqual(hitRates, ["0.0344", "0.0807"])
      }).pipe(Effect.provide(services)), 120_000)
  }
})
