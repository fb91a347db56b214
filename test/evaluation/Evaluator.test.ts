import { assert, describe, it } from "@effect/vitest"
import { join } from "node:path"
import * as Evaluator from "../../src/evaluation/Evaluator.ts"
import * as Rank from "../../src/evaluation/Rank.ts"
import * as Table from "../../src/evaluation/Table.ts"
import * as Bootstrap from "../../src/statistics/Bootstrap.ts"
import * as Gini from "../../src/statistics/Gini.ts"
import * as Random from "../../src/statistics/Random.ts"
import { golden, json, list } from "../Golden.ts"

/** All orders of the tied items, one by one. */
const enumerated = ({ better, tied }: Rank.Rank, gain: (position: number) => number) => {
  let sum = 0
  for (let place = 0; place <= tied; place++) sum += gain(better + place)
  return sum / (tied + 1)
}

describe("Rank", () => {
  it("is the mean over every order of the ties", () => {
    for (const better of [0, 1, 4, 9, 10, 25]) {
      for (const tied of [0, 1, 3, 12]) {
        const rank = { better, tied }
        for (const k of [1, 5, 10]) {
          assert.closeTo(Rank.hit(rank, k), enumerated(rank, (p) => (p < k ? 1 : 0)), 1e-12)
          assert.closeTo(Rank.ndcg(rank, k), enumerated(rank, (p) => (p < k ? 1 / Math.log2(p + 2) : 0)), 1e-12)
        }
        assert.closeTo(Rank.reciprocal(rank), enumerated(rank, (p) => 1 / (p + 1)), 1e-12)
      }
    }
    assert.deepStrictEqual(
      [Rank.hit(Rank.unlisted, 10), Rank.ndcg(Rank.unlisted, 10), Rank.reciprocal(Rank.unlisted)],
      [0, 0, 0]
    )
  })
})

describe("Evaluator.byRows", () => {
  it("ranks as sorting does, history left out when asked, a target among it not listed", () => {
    const next = Random.uniform(4)
    for (let round = 0; round < 50; round++) {
      const scores = Float64Array.from({ length: 30 }, () => Math.floor(next() * 8))
      const history = Int32Array.from({ length: 3 }, () => Math.floor(next() * 30))
      const target = round % 2 === 0 ? history[0]! : (history[0]! + 1) % 30
      for (const excluded of [true, false]) {
        const { ranks, top } = Evaluator.byRows([{ user: 0, history, target }], () => scores, excluded)
        const open = Array.from(scores.keys()).filter((item) => !excluded || !history.includes(item))
        const listed = {
          better: open.filter((item) => scores[item]! > scores[target]!).length,
          tied: open.filter((item) => scores[item] === scores[target]).length - 1
        }
        assert.deepStrictEqual(ranks[0], open.includes(target) ? listed : Rank.unlisted)
        const sorted = open.toSorted((a, b) => scores[b]! - scores[a]! || a - b)
        assert.deepStrictEqual([...top[0]!], sorted.slice(0, 10))
      }
    }
  })

  it("measures coverage and inequality of lists", () => {
    const row = Evaluator.row({
      name: "m",
      ranking: { ranks: [{ better: 0, tied: 0 }], top: [Int32Array.of(0, 1), Int32Array.of(0, 1)] },
      items: 4,
      seconds: 1.5,
      seed: 1
    })
    assert.strictEqual(row.coverage, 0.5)
    assert.closeTo(row.gini, 0.5, 1e-12)
    assert.strictEqual(Gini.of([3, 3, 3]), 0)
    assert.include(Table.render([row]), "1.0000 [1.0000 1.0000]")
  })
})

describe("Bootstrap", () => {
  it("covers the mean of coin flips as the normal interval does", () => {
    const next = Random.uniform(8)
    const flips = Float64Array.from({ length: 2000 }, () => (next() < 0.3 ? 1 : 0))
    const mean = flips.reduce((a, b) => a + b, 0) / flips.length
    const spread = 1.96 * Math.sqrt(mean * (1 - mean) / flips.length)
    const [[low, high]] = Bootstrap.intervals([flips], 1) as [Bootstrap.Interval]
    assert.closeTo(low, mean - spread, 0.15 * spread)
    assert.closeTo(high, mean + spread, 0.15 * spread)
    assert.deepStrictEqual(Bootstrap.intervals([flips], 1), Bootstrap.intervals([flips], 1))
  })

  it("sees a paired difference that separate intervals would not", () => {
    const next = Random.normal(2)
    const base = Float64Array.from({ length: 500 }, next)
    const better = base.map((value) => value + 0.05)
    const [low, high] = Bootstrap.pairedInterval(better, base, 1)
    assert.closeTo(low, 0.05, 1e-6)
    assert.closeTo(high, 0.05, 1e-6)
  })
})

describe("metrics against MiniOneRec's calc.py", () => {
  const folder = join(golden, "lm", "metrics")
  const expectations = list(folder).filter((file) => file.includes("expected") && file.endsWith(".json"))
  if (expectations.length === 0) it.skipIf(true)("no metrics case is here", () => {})
  for (const file of expectations) {
    it(`values places as counted there: ${file}`, () => {
      const { itemLevel } = json(folder, file)
      const ranks: ReadonlyArray<Rank.Rank> = itemLevel.perSample.map((
        sample: { start: number; size: number } | null
      ) => sample === null ? Rank.unlisted : { better: sample.start, tied: sample.size - 1 })
      const mean = (value: (rank: Rank.Rank) => number) =>
        ranks.reduce((sum, rank) => sum + value(rank), 0) / ranks.length
      for (const [i, k] of itemLevel.K.entries()) {
        assert.closeTo(mean((rank) => Rank.hit(rank, k)), itemLevel.expected.HR[i], 1e-12)
        assert.closeTo(mean((rank) => Rank.ndcg(rank, k)), itemLevel.expected.NDCG[i], 1e-12)
      }
    })
  }
})
