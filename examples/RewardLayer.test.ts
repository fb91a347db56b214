/**
 * A test of a program with the reward swapped: the Layer of a remote reward gives way to a fake that counts its calls
 * and fails on request.
 *
 * Run it: `vitest run examples/RewardLayer.test.ts`
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Reward, type RewardGroup } from "sidereal/reward/Reward"
import * as RuleReward from "sidereal/reward/RuleReward"
import * as Testing from "sidereal/testing"

/** The program under test: the mean reward of the best candidates. It does not know which reward is behind the service. */
const meanOfBest = Effect.fnUntraced(function*(groups: ReadonlyArray<RewardGroup>) {
  const scores = yield* (yield* Reward).score(groups)
  const best = scores.flatMap((some) => some === null ? [] : [some[0]!])
  return best.reduce((sum, one) => sum + one, 0) / best.length
})

const group = (items: ReadonlyArray<number>, target: number): RewardGroup => ({
  user: 0,
  history: Int32Array.of(9),
  target,
  items: Int32Array.from(items),
  hits: items.map((item) => item === target)
})
const groups = [group([1, 2], 1), group([3, 4], 4)]

describe("the mean reward of the best candidates", () => {
  it.effect("counts hits under the rule", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* meanOfBest(groups), 0.5)
    }).pipe(Effect.provide(RuleReward.layer)))

  it.effect("follows the reward that is swapped in, and asks it once", () =>
    Effect.gen(function*() {
      const fake = Testing.reward("fake", ({ items }) => Array.from(items, (item) => 10 * item))
      assert.strictEqual(yield* meanOfBest(groups).pipe(Effect.provide(fake.reward)), 20)
      assert.strictEqual(fake.calls.length, 1)
    }))

  it.effect("passes a failure on, with the name of the reward", () =>
    Effect.gen(function*() {
      const fake = Testing.reward("stock", 1)
      fake.failNext(1)
      const error = yield* meanOfBest(groups).pipe(Effect.provide(Layer.fresh(fake.reward)), Effect.flip)
      assert.strictEqual(error.reward, "stock")
    }))
})
