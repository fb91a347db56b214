import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as History from "../../src/catalog/History.ts"
import * as Import from "../../src/catalog/Import.ts"
import * as Shop from "../../src/catalog/shop/Shop.ts"
import * as Split from "../../src/catalog/Split.ts"
import * as ItemKnn from "../../src/evaluation/baseline/ItemKnn.ts"
import * as Popularity from "../../src/evaluation/baseline/Popularity.ts"
import * as Scorer from "../../src/evaluation/baseline/Scorer.ts"
import * as ScorerPrior from "../../src/evaluation/baseline/ScorerPrior.ts"
import * as EvaluationRecord from "../../src/evaluation/EvaluationRecord.ts"
import * as Evaluator from "../../src/evaluation/Evaluator.ts"
import * as PolicyRanking from "../../src/evaluation/PolicyRanking.ts"
import * as Protocol from "../../src/evaluation/Protocol.ts"
import * as Rank from "../../src/evaluation/Rank.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
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
          const found = yield* PolicyRanking.rankAll(examples, RandomPolicy.weights, {
            beams: index.trie.nodes,
            historyExcluded
          }).pipe(Effect.provide(RandomPolicy.layers(index, seed)))
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

  it.effect("ranks of baselines are those of brute force, history excluded or kept", () =>
    Effect.gen(function*() {
      for (const { examples, items } of cases) {
        for (const scorer of [Popularity, ItemKnn].map(({ fit }) => fit(examples.map((e) => e.history), items))) {
          for (const historyExcluded of modes) {
            const { ranks, top } = yield* Evaluator.byScores(examples, scorer, historyExcluded)
            for (const [i, example] of examples.entries()) {
              const own = yield* scorer.scores([History.of(example)])
              assert.deepStrictEqual(ranks[i], bruteForce(own.data, example, historyExcluded))
              if (historyExcluded) assert.isFalse(top[i]!.some((item) => example.history.includes(item)))
            }
          }
        }
      }
    }))

  it.effect("scorers refuse histories of another catalogue, and as priors what is no mass", () =>
    Effect.gen(function*() {
      const scorer = ItemKnn.fit([Int32Array.of(0, 1, 2)], 3)
      const error = yield* Effect.flip(scorer.scores([{ user: 7, items: Int32Array.of(1, 5) }]))
      assert.include(error.message, "holds item 5")
      const space = LeafSpace.ofTrie(RandomPolicy.catalogue(3, 2, 1).trie)
      const negative = ScorerPrior.make(Scorer.make("below", 3, (_, row) => row.fill(-1)), { weight: 1 })
      const bad = yield* Effect.flip(negative.logMass(Prompt.ofItems(Int32Array.of(0)), space))
      assert.include(bad.message, "finite and at least 0")
      const mass = yield* ScorerPrior.make(scorer, { weight: 1 }).logMass(Prompt.ofItems(Int32Array.of(0)), space)
      assert.closeTo(mass.below(0), 0, 1e-9)
    }))

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
      const found = yield* PolicyRanking.rankAll(test, RandomPolicy.weights, { beams: 10, historyExcluded: true }).pipe(
        Effect.provide(RandomPolicy.layers(index, 1))
      )
      const full = found.filter(({ ranked, space }, i) => {
        const excluded = Protocol.excludedItems(test[i]!.history, true)
        const listed = PolicyRanking.rankedItems(space, ranked).slice(0, 10)
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
        const scorer = fit(train, dataset.items.length)
        const [without, kept] = yield* Effect.forEach(
          [true, false],
          (excluded) =>
            Evaluator.byScores(test, scorer, excluded)
        )
        assert.isTrue(without!.ranks.every((rank) => rank === Rank.unlisted))
        assert.isFalse(kept!.ranks.some((rank) => rank === Rank.unlisted))
      }
    }).pipe(Effect.provide(services)))

  for (const folder of list(data).filter((name) => name === "minionerec-industrial")) {
    it.effect(`holds on real data: ${folder}`, () =>
      Effect.gen(function*() {
        const dataset = yield* Import.load(join(data, folder))
        const { test, train } = yield* Split.split(dataset, new Split.SplitConfig({ window: 10 }))
        assert.deepStrictEqual([Protocol.repeatedTargets(test), test.length], [128, 4533])
        const hitRates = yield* Effect.forEach([Popularity, ItemKnn], ({ fit }) =>
          Effect.map(Evaluator.byScores(test, fit(train, dataset.items.length), true), ({ ranks }) =>
            (ranks.reduce((sum, rank) =>
              sum + Rank.hit(rank, 10), 0) / ranks.length).toFixed(4)))
        assert.deepStrictEqual(hitRates, ["0.0344", "0.0807"])
      }).pipe(Effect.provide(services)), 240_000)
  }
})
