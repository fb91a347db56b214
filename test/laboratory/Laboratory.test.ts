import { assert, describe, it } from "@effect/vitest"
import { type Item } from "../../src/catalog/Dataset.ts"
import * as Laboratory from "../../src/laboratory/Laboratory.ts"
import * as Neighbourhood from "../../src/laboratory/Neighbourhood.ts"
import * as SidNgram from "../../src/laboratory/SidNgram.ts"
import * as SidIndex from "../../src/sid/SidIndex.ts"
import * as Random from "../../src/statistics/Random.ts"

const indexOf = (sids: ReadonlyArray<ReadonlyArray<number>>) =>
  SidIndex.make(sids.map((codes) => Int32Array.from(codes)), [8, 8, 8], "keep")

/** SIDs of different lengths, some shared, one that begins another. */
const sids = [[0, 1], [0, 1, 2], [0, 1, 2], [0, 2], [1, 0, 3], [1, 0, 3], [1, 4], [2]]
const next = Random.uniform(4)
const train = Array.from(
  { length: 30 },
  () => Int32Array.from({ length: 6 }, () => Math.floor(next() * sids.length))
)

describe("SidNgram", () => {
  /** The formula of the documentation, computed from scratch for one leaf. */
  const oracle = (history: Int32Array, target: number): number => {
    const starts = (sid: ReadonlyArray<number>, prefix: ReadonlyArray<number>) =>
      prefix.every((code, level) => sid[level] === code)
    const count = (context: ReadonlyArray<number>, prefix: ReadonlyArray<number>, proper: boolean) => {
      let sum = 0
      for (const sequence of train) {
        for (let at = 1; at < sequence.length; at++) {
          for (let distance = 1; distance <= Math.min(3, at); distance++) {
            const [from, to] = [sids[sequence[at - distance]!]!, sids[sequence[at]!]!]
            if (!starts(from, context) || !starts(to, prefix)) continue
            if (!proper || to.length > prefix.length) sum += 2 ** (1 - distance)
          }
        }
      }
      return sum
    }
    const below = (prefix: ReadonlyArray<number>) => sids.filter((sid) => starts(sid, prefix)).length
    const ends = (prefix: ReadonlyArray<number>) =>
      sids.filter((sid) => sid.length === prefix.length && starts(sid, prefix)).length
    const conditional = (context: ReadonlyArray<number> | undefined, prefix: ReadonlyArray<number>): number => {
      const up = prefix.slice(0, -1)
      if (context === undefined) return below(prefix) / (below(up) - ends(up))
      const coarser = conditional(context.length === 0 ? undefined : context.slice(0, -1), prefix)
      if (count(context, up, false) === 0) return coarser
      return (count(context, prefix, false) + 4 * coarser) / (count(context, up, true) + 4)
    }
    const recent = [...history.subarray(-3)].toReversed()
    const total = recent.reduce((sum, _, i) => sum + 2 ** -i, 0)
    const sid = sids[target]!
    let probability = 0
    for (const [i, item] of recent.entries()) {
      let reach = 2 ** -i / total
      for (let length = 1; length <= sid.length; length++) {
        const up = sid.slice(0, length - 1)
        reach *= 1 - ends(up) / below(up)
        reach *= conditional(sids[item]!, sid.slice(0, length))
      }
      probability += reach * ends(sid) / below(sid)
    }
    return probability / ends(sid)
  }

  it("is the interpolation that it says, for every item, and sums to 1", () => {
    const model = SidNgram.fit(indexOf(sids), train)
    for (const history of [Int32Array.of(3), Int32Array.of(1, 6), Int32Array.of(0, 4, 7, 2)]) {
      const scores = model.scores(history)
      assert.closeTo(scores.reduce((a, b) => a + b, 0), 1, 1e-6)
      for (let item = 0; item < sids.length; item++) assert.closeTo(scores[item]!, oracle(history, item), 1e-6)
    }
  })
})

const item = (key: number, category: string, brand: string): Item => ({
  key: String(key),
  title: `item ${key}`,
  description: "",
  brand,
  categories: category === "" ? [] : ["all", category]
})

describe("Neighbourhood", () => {
  it("estimates the share of agreeing pairs at every prefix (all pairs counted)", () => {
    const draw = Random.uniform(6)
    const catalogue = Array.from(
      { length: 40 },
      (_, i) => item(i, ["", "pens", "ink"][Math.floor(draw() * 3)]!, ["", "x", "y", "z"][Math.floor(draw() * 4)]!)
    )
    const codes = Array.from(
      { length: 40 },
      () => [Math.floor(draw() * 3), Math.floor(draw() * 3), Math.floor(draw() * 8)]
    )
    const users = Array.from({ length: 25 }, () => Int32Array.from({ length: 5 }, () => Math.floor(draw() * 40)))
    const found = Neighbourhood.measure(indexOf(codes), catalogue, users, 1)
    for (const { brand, buyers, category, pairs, prefix } of found) {
      const tally = { pairs: 0, category: [0, 0], brand: [0, 0], buyers: [0, 0] }
      for (let a = 0; a < 40; a++) {
        for (let b = a + 1; b < 40; b++) {
          if (!codes[a]!.slice(0, prefix).every((code, level) => codes[b]![level] === code)) continue
          tally.pairs++
          const [x, y] = [catalogue[a]!, catalogue[b]!]
          const add = (kind: "category" | "brand" | "buyers", agree: boolean) => {
            tally[kind][0]! += agree ? 1 : 0
            tally[kind][1]!++
          }
          if (x.categories.length > 0 && y.categories.length > 0) add("category", x.categories[1] === y.categories[1])
          if (x.brand !== "" && y.brand !== "") add("brand", x.brand === y.brand)
          add("buyers", users.some((user) => user.includes(a) && user.includes(b)))
        }
      }
      assert.strictEqual(pairs, tally.pairs)
      for (
        const [own, [agree, all]] of [[category, tally.category], [brand, tally.brand], [buyers, tally.buyers]] as const
      ) {
        // Drawn with replacement, four draws per pair: two standard errors and some.
        assert.closeTo(own, agree! / all!, 0.13)
      }
    }
  })
})

describe("Laboratory.recommend", () => {
  const entry = (name: string, ndcg10: number, collisionRate: number, varianceLeft = 0.2) => ({
    perUser: Float64Array.from({ length: 200 }, (_, user) => (user % 10 < 5 ? ndcg10 * 2 : 0)),
    entry: { name, collisionRate, varianceLeft, prediction: { ndcg10 } } as Laboratory.Entry
  })

  it("takes the best predictor, among its equals the one with fewest collisions, never a control", () => {
    const clear = Laboratory.recommend([entry("a", 0.2, 0.3), entry("b", 0.1, 0), entry("random", 0.5, 0)], 1)!
    assert.strictEqual(clear.name, "a")
    assert.include(clear.reasons.join(" "), "the control random")
    const equal = Laboratory.recommend([entry("a", 0.2, 0.3), entry("b", 0.2, 0.1), entry("c", 0.2, 0.1, 0.1)], 1)!
    assert.strictEqual(equal.name, "c")
    assert.isUndefined(Laboratory.recommend([entry("hash", 0.2, 0.3)], 1))
  })
})
