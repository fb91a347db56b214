import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Example } from "../../src/catalog/Split.ts"
import { LeafDecoder } from "../../src/decode/LeafDecoder.ts"
import * as Prior from "../../src/decode/Prior.ts"
import * as ItemKnn from "../../src/evaluation/baseline/ItemKnn.ts"
import * as Scorer from "../../src/evaluation/baseline/Scorer.ts"
import * as ScorerPrior from "../../src/evaluation/baseline/ScorerPrior.ts"
import * as PolicyRanking from "../../src/evaluation/PolicyRanking.ts"
import * as PriorWeight from "../../src/evaluation/PriorWeight.ts"
import * as Rank from "../../src/evaluation/Rank.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as RandomPolicy from "../decode/RandomPolicy.ts"
import { enliven, index as small, layer } from "../policy/Fixture.ts"

const share = 0.1

/** Examples of which every other one has a target that stands in its history. */
const drawn = (items: number, count: number, seed: number): ReadonlyArray<Example> => {
  const next = Random.uniform(seed, 0xf05e)
  return Array.from({ length: count }, (_, user) => {
    const history = Int32Array.from({ length: 2 + Math.floor(next() * 5) }, () => Math.floor(next() * items))
    const target = user % 2 === 0 ? history[0]! : Math.floor(next() * items)
    return { user, history, target }
  })
}

const cases = Array.from({ length: 20 }, (_, seed) => {
  const index = RandomPolicy.catalogue(15 + 2 * seed, 3 + seed % 4, seed)
  const items = index.sids.length
  const examples = drawn(items, 24, seed)
  return { seed, index, items, examples, scorer: ItemKnn.fit(examples.map(({ history }) => history), items) }
})

/** Variants of a ranking: both history modes, alone and with a prior. */
const variantsOf = (prior: Prior.Prior) =>
  [true, false].flatMap((historyExcluded) => [{ historyExcluded }, { historyExcluded, prior }])

describe("a policy with a scorer beside it", () => {
  it.effect("ranks every item by log-probability + weight x log mass (brute force), targets in the history included", () =>
    Effect.gen(function*() {
      for (const { examples, index, items, scorer, seed } of cases) {
        for (const weight of [0.5, 4]) {
          const prior = ScorerPrior.make(scorer, { share, weight })
          for (const historyExcluded of [true, false]) {
            const found = yield* PolicyRanking.rankAll(examples, RandomPolicy.weights, {
              beams: index.trie.nodes,
              historyExcluded,
              prior
            }).pipe(Effect.provide(RandomPolicy.layers(index, seed)))
            for (const [i, { history, target, user }] of examples.entries()) {
              const { data } = yield* scorer.scores([{ user, items: history }])
              const sum = data.reduce((a, b) => a + b, 0)
              const massOf = (item: number) => sum === 0 ? 1 / items : (1 - share) * data[item]! / sum + share / items
              const logProb = new Map(
                RandomPolicy.enumerate(index, history, seed).map((one) => [one.leaf, one.logProb])
              )
              // Items of one SID stand together: their mass is that of the SID.
              const scores = Array.from(index.leafOf, (leaf) => {
                const mass = [...index.leafOf.keys()].filter((item) => index.leafOf[item] === leaf).reduce(
                  (all, item) => all + massOf(item),
                  0
                )
                return logProb.get(leaf)! + weight * Math.log(mass)
              })
              const open = scores.map((_, item) => item).filter((item) => !historyExcluded || !history.includes(item))
              const { item: rank } = found[i]!
              if (!open.includes(target)) {
                assert.deepStrictEqual(rank, Rank.unlisted)
                continue
              }
              const others = open.filter((item) => index.leafOf[item] !== index.leafOf[target])
              assert.deepStrictEqual(rank, {
                better: others.filter((item) => scores[item]! > scores[target]!).length,
                tied: open.length - others.length - 1
              }, `seed ${seed}, weight ${weight}`)
            }
          }
        }
      }
    }))

  it.effect("is in every variant what it is alone, whatever is searched beside it", () =>
    Effect.gen(function*() {
      for (const { examples, index, scorer, seed } of cases) {
        const variants = variantsOf(ScorerPrior.make(scorer, { share, weight: 2 }))
        for (const beams of [3, 20]) {
          const together = yield* PolicyRanking.rankEach(examples, RandomPolicy.weights, variants, { beams }).pipe(
            Effect.provide(RandomPolicy.layers(index, seed))
          )
          for (const [at, variant] of variants.entries()) {
            const alone = yield* PolicyRanking.rankAll(examples, RandomPolicy.weights, { beams, ...variant }).pipe(
              Effect.provide(RandomPolicy.layers(index, seed))
            )
            for (const [i, { item, ranked, sid }] of alone.entries()) {
              const other = together[at]![i]!
              assert.deepStrictEqual([other.item, other.sid, other.ranked], [item, sid, ranked])
            }
          }
        }
      }
    }))

  it.effect("is so of a policy that computes with tensors", () =>
    Effect.gen(function*() {
      const weights = yield* enliven
      const examples = drawn(small.sids.length, 20, 5)
      const scorer = ItemKnn.fit(examples.map(({ history }) => history), small.sids.length)
      const variants = variantsOf(ScorerPrior.make(scorer, { share, weight: 2 }))
      const together = yield* PolicyRanking.rankEach(examples, weights, variants, { beams: 5 })
      for (const [at, variant] of variants.entries()) {
        const alone = yield* PolicyRanking.rankAll(examples, weights, { beams: 5, ...variant })
        for (const [i, { ranked }] of alone.entries()) {
          assert.deepStrictEqual([...together[at]![i]!.ranked.leaves], [...ranked.leaves])
          for (const [leaf, score] of ranked.scores.entries()) {
            assert.closeTo(together[at]![i]!.ranked.scores[leaf]!, score, 1e-4)
          }
        }
      }
    }).pipe(Effect.provide(LeafDecoder.layerBeams({ batch: 4 }).pipe(Layer.provideMerge(layer())))))
})

describe("ScorerPrior", () => {
  it.effect("asks its scorer once for all prompts of a search, whatever the weights and modes", () =>
    Effect.gen(function*() {
      const { examples, index, items, seed } = cases[7]!
      const asked: Array<number> = []
      const counting = Scorer.make("counting", items, (_, row) => row.fill(1))
      const prior = ScorerPrior.make({
        name: counting.name,
        scores: (histories) => {
          asked.push(histories.length)
          return counting.scores(histories)
        }
      }, { weight: 1 })
      yield* PolicyRanking.rankEach(
        examples.slice(0, 6),
        RandomPolicy.weights,
        [...variantsOf(prior), ...variantsOf(Prior.weighted(prior, 3))],
        { beams: 5 }
      ).pipe(Effect.provide(RandomPolicy.layers(index, seed)))
      // The decoder of the test searches after two prompts at a time.
      assert.deepStrictEqual(asked, [2, 2, 2])
    }))

  it.effect("changes no ranking where a scorer knows nothing and SIDs are not shared", () =>
    Effect.gen(function*() {
      const { examples, index, items, seed } = cases[3]!
      const silent = ScorerPrior.make(Scorer.make("silent", items, () => {}), { weight: 1 })
      const [alone, fused] = yield* PolicyRanking.rankEach(
        examples,
        RandomPolicy.weights,
        [{ historyExcluded: false }, { historyExcluded: false, prior: silent }],
        { beams: index.trie.nodes }
      ).pipe(Effect.provide(RandomPolicy.layers(index, seed)))
      for (const [i, { ranked }] of fused!.entries()) {
        for (const [at, leaf] of ranked.leaves.entries()) {
          const own = alone![i]!.ranked
          const count = index.leafOf.filter((other) => other === leaf).length
          const logProb = own.logProbs[own.leaves.indexOf(leaf)]!
          assert.closeTo(ranked.scores[at]!, logProb + Math.log(count / items), 1e-5)
        }
      }
    }))
})

describe("PriorWeight.choose", () => {
  it.effect("measures each weight as a ranking of its own does, and chooses the best above 0", () =>
    Effect.gen(function*() {
      const grid = [0.5, 1, 4] as const
      for (const { examples, index, scorer, seed } of cases.slice(0, 8)) {
        const options = { beams: 10, historyExcluded: seed % 2 === 0 }
        const prior = ScorerPrior.make(scorer, { share, weight: 1 })
        const chosen = yield* PriorWeight.choose(examples, RandomPolicy.weights, prior, grid, options).pipe(
          Effect.provide(RandomPolicy.layers(index, seed))
        )
        assert.deepStrictEqual(chosen.weights.map(({ weight }) => weight), [0, ...grid])
        for (const { ndcg, weight } of chosen.weights) {
          const ranked = yield* PolicyRanking.rankAll(examples, RandomPolicy.weights, {
            ...options,
            ...(weight === 0 ? {} : { prior: Prior.weighted(prior, weight) })
          }).pipe(Effect.provide(RandomPolicy.layers(index, seed)))
          assert.strictEqual(ndcg, PolicyRanking.meanNdcg(ranked, 10))
        }
        const above = chosen.weights.slice(1)
        const most = Math.max(...above.map(({ ndcg }) => ndcg))
        assert.strictEqual(chosen.weight, above.find(({ ndcg }) => ndcg === most)!.weight)
      }
    }))
})
