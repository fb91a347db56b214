import { assert, describe, it } from "@effect/vitest"
import { type Example } from "../../src/catalog/Split.ts"
import * as Evaluator from "../../src/evaluation/Evaluator.ts"
import * as Slices from "../../src/evaluation/Slices.ts"
import * as Random from "../../src/statistics/Random.ts"

const items = 25

const drawn = (seed: number) => {
  const next = Random.uniform(seed, 0x511c)
  // A long tail of popularity, so that many targets have the same few events.
  const item = () => Math.floor(items * next() ** 2)
  const sequence = (least: number) => Int32Array.from({ length: least + Math.floor(next() * 6) }, item)
  const train = Array.from({ length: 15 }, () => sequence(0))
  const test = Array.from({ length: 90 }, (_, user): Example => ({ user, history: sequence(user % 3), target: item() }))
  const ranks = test.map(() => ({ better: Math.floor(next() * 30), tied: Math.floor(next() * 4) }))
  return { train, test, ranks }
}

describe("Slices", () => {
  it("are disjoint and whole, and their weighted metrics are those of all users", () => {
    for (let seed = 0; seed < 30; seed++) {
      const { ranks, test, train } = drawn(seed)
      const [quartiles, transitions] = [Slices.quartiles, Slices.transitions].map((of) => of(test, train, items))
      for (const slices of [quartiles!, transitions!]) {
        const row = Evaluator.row({ name: "m", ranking: { ranks, top: [] }, items, seconds: 0, seed, slices })
        const examples = slices.flatMap((slice) => [...slice.examples])
        assert.deepStrictEqual(examples.toSorted((a, b) => a - b), [...test.keys()])
        for (const metric of ["HR@10", "NDCG@10"]) {
          const sum = slices.reduce((all, slice) => all + slice.examples.length * row.slices[slice.name]![metric]!, 0)
          assert.closeTo(sum / test.length, row.metrics[metric]!, 1e-12)
        }
      }
    }
  })

  it("order quartiles by the training events of the target, cold to warm, equal ones together", () => {
    for (let seed = 0; seed < 30; seed++) {
      const { test, train } = drawn(seed)
      const events = (item: number) => train.flatMap((list) => [...list]).filter((other) => other === item).length
      let least = -1
      for (const { counts, examples } of Slices.quartiles(test, train, items)) {
        if (examples.length === 0) {
          assert.isUndefined(counts)
          continue
        }
        const own = Array.from(examples, (at) => events(test[at]!.target))
        assert.deepStrictEqual(counts, [Math.min(...own), Math.max(...own)])
        assert.isAbove(counts![0], least)
        least = counts![1]
      }
    }
    const distinct = Array.from(
      { length: 40 },
      (_, user): Example => ({ user, history: Int32Array.of(), target: user })
    )
    const train = Array.from({ length: 40 }, (_, item) => new Int32Array(item).fill(item))
    assert.deepStrictEqual(
      Slices.quartiles(distinct, train, 40).map(({ counts, examples }) => [examples.length, counts]),
      [[10, [0, 9]], [10, [10, 19]], [10, [20, 29]], [10, [30, 39]]]
    )
  })

  it("know transitions by neighbours in training, in their direction", () => {
    for (let seed = 0; seed < 30; seed++) {
      const { test, train } = drawn(seed)
      const [seen, unseen] = Slices.transitions(test, train, items)
      const isSeen = ({ history, target }: Example) =>
        train.some((list) => list.some((item, i) => i > 0 && item === target && list[i - 1] === history.at(-1)))
      assert.deepStrictEqual([...seen!.examples], [...test.keys()].filter((at) => isSeen(test[at]!)))
      assert.strictEqual(unseen!.examples.length, test.length - seen!.examples.length)
    }
  })
})
