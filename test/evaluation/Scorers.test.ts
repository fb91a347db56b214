import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ItemKnn from "../../src/evaluation/baseline/ItemKnn.ts"
import * as Popularity from "../../src/evaluation/baseline/Popularity.ts"
import * as Scorer from "../../src/evaluation/baseline/Scorer.ts"
import * as ScorerFusion from "../../src/evaluation/baseline/ScorerFusion.ts"
import * as ScorerPrior from "../../src/evaluation/baseline/ScorerPrior.ts"
import * as ScoreScale from "../../src/evaluation/baseline/ScoreScale.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import * as LeafSpace from "../../src/sid/trie/LeafSpace.ts"
import * as Random from "../../src/statistics/Random.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { distance } from "../Golden.ts"

const items = 40
const drawn = (users: number, seed: number) =>
  Array.from({ length: users }, (_, user) => {
    const next = Random.uniform(seed, user)
    return Int32Array.from({ length: Math.floor(next() * 30) }, () => Math.floor(next() ** 2 * items))
  })

describe("ItemKnn without the user's own sequence", () => {
  it.effect("scores exactly as a fit without it, whatever the history", () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 5; seed++) {
        const train = drawn(25, seed)
        const left = ItemKnn.fit(train, items, { leaveOneOut: true })
        const whole = ItemKnn.fit(train, items)
        let different = 0
        for (const [user, sequence] of train.entries()) {
          const without = ItemKnn.fit(train.filter((_, other) => other !== user), items)
          const histories = [sequence, sequence.subarray(0, Math.ceil(sequence.length / 2)), train[(user + 1) % 25]!]
            .map((history) => ({ user, items: history }))
          const found = yield* left.scores(histories)
          assert.deepStrictEqual(found, yield* without.scores(histories))
          const all = yield* whole.scores(histories)
          if (distance(found.data, all.data) > 0) different++
        }
        assert.isAbove(different, 15)
        const strangers = [-1, train.length].map((user) => ({ user, items: train[0]! }))
        assert.deepStrictEqual(yield* left.scores(strangers), yield* whole.scores(strangers))
      }
    }))

  it.effect("forgets a transition that only this user made", () =>
    Effect.gen(function*() {
      const train = [Int32Array.of(0, 1), Int32Array.of(2, 3)]
      const { data } = yield* ItemKnn.fit(train, 4, { leaveOneOut: true }).scores([
        { user: 0, items: Int32Array.of(0) },
        { user: 1, items: Int32Array.of(0) }
      ])
      assert.deepStrictEqual([...data], [0, 0, 0, 0, 0, 1, 0, 0])
    }))
})

describe("scores on a common scale", () => {
  const row = Float64Array.of(3, 0, 1, 0)
  it.effect("are what is stated", () =>
    Effect.gen(function*() {
      const mass = yield* ScoreScale.apply("some", row, { kind: "logMass", epsilon: 0.1 })
      assert.isBelow(distance(mass, [0.85, 0.1, 0.35, 0.1].map(Math.log)), 1e-12)
      const even = yield* ScoreScale.apply("some", new Float64Array(4), { kind: "logMass" })
      assert.isBelow(distance(even, [0.25, 0.25, 0.25, 0.25].map((m) => Math.log(m + 1e-4))), 1e-12)
      for (const temperature of [1, 0.5]) {
        const soft = yield* ScoreScale.apply("some", row.map((s) => s + 700), { kind: "logSoftmax", temperature })
        const sum = row.reduce((total, s) => total + Math.exp(s / temperature), 0)
        assert.isBelow(distance(soft, row.map((s) => s / temperature - Math.log(sum))), 1e-10)
        assert.closeTo(soft.reduce((total, s) => total + Math.exp(s), 0), 1, 1e-10)
      }
      const standard = yield* ScoreScale.apply("some", row, { kind: "standardised" })
      assert.closeTo(standard.reduce((a, b) => a + b), 0, 1e-12)
      assert.closeTo(standard.reduce((sum, s) => sum + s * s, 0), 4, 1e-12)
      assert.deepStrictEqual([...(yield* ScoreScale.apply("some", row.fill(2), { kind: "standardised" }))], [
        0,
        0,
        0,
        0
      ])
      for (
        const [scores, kind] of [[[1, -1], "logMass"], [[NaN, 1], "logSoftmax"], [
          [1, Infinity],
          "standardised"
        ]] as const
      ) {
        const failed = yield* Effect.flip(ScoreScale.apply("some", Float64Array.from(scores), { kind }))
        assert.include(failed.message, `"some"`)
      }
    }))
})

describe("a fusion of scorers", () => {
  const of = (name: string, rows: ReadonlyArray<ReadonlyArray<number>>) =>
    Scorer.make(name, rows[0]!.length, ({ user }, row) => row.set(rows[user]!))
  const evidence = [[4, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
  const logits = [[-1, 2, 0.5, -3, 0], [1, 2, 3, 4, 5]]
  const histories = [0, 1].map((user) => ({ user, items: new Int32Array(0) }))

  it.effect("is a product of the parts, in the order of their weighted sum", () =>
    Effect.gen(function*() {
      const fused = ScorerFusion.make([
        { scorer: of("knn", evidence), weight: 0.7, scale: { kind: "logMass", epsilon: 0.02 } },
        { scorer: of("sasrec", logits), weight: 0.3, scale: { kind: "logSoftmax" } }
      ])
      assert.strictEqual(fused.name, "knn+sasrec")
      const { data, rows, width } = yield* fused.scores(histories)
      assert.deepStrictEqual([rows, width], [2, 5])
      for (const row of [0, 1]) {
        const total = evidence[row]!.reduce((a, b) => a + b, 0)
        const mass = evidence[row]!.map((s) => (total === 0 ? 1 / 5 : s / total) + 0.02)
        const expected = mass.map((m, i) => m ** 0.7 * Math.exp(logits[row]![i]!) ** 0.3)
        const most = Math.max(...expected)
        assert.isBelow(distance(data.subarray(row * 5, row * 5 + 5), expected.map((e) => e / most)), 1e-12)
      }
    }))

  it.effect("has the scores of every list of weights, with each part asked once", () =>
    Effect.gen(function*() {
      let asked = 0
      const counting = (scorer: Scorer.Scorer): Scorer.Scorer => ({
        ...scorer,
        scores: (some) => Effect.tap(scorer.scores(some), () => Effect.sync(() => asked++))
      })
      const parts = [
        { scorer: counting(of("knn", evidence)), scale: { kind: "logMass", epsilon: 0.02 } },
        { scorer: counting(of("sasrec", logits)), scale: { kind: "logSoftmax" } }
      ] as const
      const weights = [[1, 0], [0.7, 0.3], [0, 2]]
      const each = yield* ScorerFusion.scoresEach(parts, weights, histories)
      assert.strictEqual(asked, 2)
      const alone = weights.map((some) =>
        ScorerFusion.make(parts.map((part, i) => ({ ...part, weight: some[i]! }))).scores(histories)
      )
      assert.deepStrictEqual(each, yield* Effect.all(alone))
    }))

  it.effect("keeps 0 for items that no evidence speaks for, and is a mass for a prior", () =>
    Effect.gen(function*() {
      const other = [[0, 0, 2, 0, 1], [0, 3, 0, 0, 0]]
      const fused = ScorerFusion.make([{ scorer: of("a", evidence), weight: 1 }, {
        scorer: of("b", other),
        weight: 40
      }])
      const { data } = yield* fused.scores(histories)
      assert.deepStrictEqual(Array.from(data, (s) => s > 0), [
        true,
        false,
        true,
        false,
        true,
        false,
        true,
        false,
        false,
        false
      ])
      assert.strictEqual(data[2], 1)
      const huge = ScorerFusion.make([
        { scorer: of("a", evidence), weight: 1 },
        { scorer: of("b", logits), weight: 1e4, scale: { kind: "standardised" } }
      ])
      assert.isTrue((yield* huge.scores(histories)).data.every((score) => score > 0 && score <= 1))
      const space = LeafSpace.ofTrie(Testing.index(5).trie)
      const prior = ScorerPrior.make(fused, { weight: 1 })
      const mass = yield* prior.logMass(Prompt.ofHistory({ user: 0, items: new Int32Array(0) }), space)
      assert.closeTo(mass.below(0), 0, 1e-12)
    }))

  it.effect("fails with its parts, and for parts of different catalogues", () =>
    Effect.gen(function*() {
      const negative = yield* Effect.flip(ScorerFusion.make([{ scorer: of("n", logits), weight: 1 }]).scores(histories))
      assert.include(negative.message, `"n"`)
      const narrow = ScorerFusion.make([
        { scorer: Popularity.fit([], 5), weight: 1 },
        { scorer: Popularity.fit([], 4), weight: 1 }
      ])
      assert.include((yield* Effect.flip(narrow.scores(histories))).message, "[2, 4], expected [2, 5]")
      assert.include((yield* Effect.flip(ScorerFusion.make([]).scores(histories))).message, "no parts")
    }))
})
