import { assert, describe, it } from "@effect/vitest"
import * as Advantage from "../../src/grpo/Advantage.ts"
import { type GroupRewards } from "../../src/reward/Reward.ts"
import { distance } from "../Golden.ts"

const totals = [[1, 0, 0, 0.5], [0.2, 0.3, -0.1], [2, 2, 2, 2], [0.7]]
const rewards: ReadonlyArray<GroupRewards> = totals.map((total) => ({
  total: Float32Array.from(total),
  parts: {
    small: Float32Array.from(total, (value, i) => 0.001 * (value + i * 0.1)),
    large: Float32Array.from(total, (value) => 100 * value)
  }
}))

const mean = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0) / values.length
const deviation = (values: ReadonlyArray<number>) =>
  Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1))

const of = (options?: Advantage.AdvantageOptions) =>
  Advantage.ofRewards(rewards, options).map((group) => Array.from(group))

const compare = (found: ReadonlyArray<ReadonlyArray<number>>, expected: ReadonlyArray<ReadonlyArray<number>>) => {
  for (const [g, group] of expected.entries()) assert.isBelow(distance(found[g]!, group), 1e-5)
}

describe("advantages", () => {
  it("by group, batch, mean alone, the others' mean, or as they are", () => {
    const centred = totals.map((group) => group.map((value) => value - mean(group)))
    compare(
      of(),
      centred.map((group, g) => group.map((a) => group.length < 2 ? 0 : a / (deviation(totals[g]!) + 1e-4)))
    )
    compare(of({ mode: "batch" }), centred.map((group) => group.map((a) => a / (deviation(totals.flat()) + 1e-4))))
    compare(of({ mode: "centred" }), centred)
    compare(
      of({ mode: "leave-one-out" }),
      totals.map((group) =>
        group.map((value, i) => group.length < 2 ? 0 : value - mean(group.filter((_, j) => j !== i)))
      )
    )
    compare(of({ mode: "raw" }), totals)
  })

  it("per reward, so that a small one counts as much as a large one, by the weights given", () => {
    const normal = (values: ReadonlyArray<number>) =>
      values.map((value) => values.length < 2 ? 0 : (value - mean(values)) / (deviation(values) + 1e-4))
    for (const weights of [{}, { small: 3, large: 0.5 }, { large: 0 }] as ReadonlyArray<Record<string, number>>) {
      const sums = rewards.map(({ parts }) => {
        const [small, large] = [normal(Array.from(parts["small"]!)), normal(Array.from(parts["large"]!))]
        return small.map((value, c) => (weights["small"] ?? 1) * value + (weights["large"] ?? 1) * large[c]!)
      })
      const all = sums.flat()
      compare(
        of({ mode: "per-reward", weights }),
        sums.map((group) => group.map((value) => (value - mean(all)) / (deviation(all) + 1e-4)))
      )
    }
  })

  it("carry a signal where they tell the candidates of a group apart, in every mode", () => {
    const unequal = [true, true, false, false]
    for (const mode of Advantage.Mode.literals) {
      const advantages = Advantage.ofRewards(rewards.map(({ total }) => ({ total, parts: { only: total } })), { mode })
      const carried = advantages.map((own) => Advantage.carriesSignal({ advantages: own } as Advantage.AdvantageGroup))
      assert.deepStrictEqual(carried, unequal, mode)
    }
    // A mean of equal rewards may differ from them by rounding.
    const tenths = { total: new Float32Array(7).fill(0.1), parts: {} }
    const [advantages] = Advantage.ofRewards([tenths])
    assert.isFalse(Advantage.carriesSignal({ advantages: advantages! } as Advantage.AdvantageGroup))
  })
})
