import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { join } from "node:path"
import * as StepRecord from "../../src/grpo/monitoring/StepRecord.ts"
import { rollout } from "../../src/grpo/RolloutActor.ts"
import { Reward, type RewardGroup } from "../../src/reward/Reward.ts"
import { areZero, backoff, RewardActor, type RewardActorOptions, type Weighted } from "../../src/reward/RewardActor.ts"
import * as RuleReward from "../../src/reward/RuleReward.ts"
import { Sids } from "../../src/sid/Sids.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { distance, golden, json, list, tensors } from "../Golden.ts"

const group = (items: ReadonlyArray<number>, target = 0): RewardGroup => ({
  user: 0,
  history: Int32Array.of(1),
  target,
  items: Int32Array.from(items),
  hits: items.map((item) => item === target)
})

const score = <const Rewards extends Weighted>(
  rewards: Rewards,
  groups: ReadonlyArray<RewardGroup>,
  options: RewardActorOptions = {}
) =>
  Effect.flatMap(RewardActor, (actor) => actor.score(groups)).pipe(Effect.provide(RewardActor.layer(rewards, options)))

const one = <E, R>(reward: Layer.Layer<Reward, E, R>) => [{ reward, weight: 1 }] as const

const reasonOf = (error: { readonly reason: { readonly _tag: string } }) => error.reason._tag

class Price extends Context.Service<Price, { readonly of: (item: number) => number }>()("test/reward/Price") {}

describe("a custom reward", () => {
  it.effect("is a function or an Effect, with needs that are met where the actor is built", () =>
    Effect.gen(function*() {
      const sync = Reward.layer("sync", ({ items }) => Float64Array.from(items))
      const priced = Reward.layer("priced", ({ items }) =>
        Effect.gen(function*() {
          const price = yield* Price
          yield* Effect.promise(() => Promise.resolve())
          return Array.from(items, (item) => price.of(item))
        }))
      const needs: Layer.Layer<RewardActor, never, Price> = RewardActor.layer([{ reward: sync, weight: 1 }, {
        reward: priced,
        weight: 2
      }])
      const price = Layer.succeed(Price, Price.of({ of: (item) => 10 * item }))
      const [earned] = yield* Effect.flatMap(RewardActor, (actor) => actor.score([group([1, 2])])).pipe(
        Effect.provide(Layer.provide(needs, price))
      )
      assert.deepStrictEqual([...earned!.total], [21, 42])
      assert.deepStrictEqual([...earned!.parts["priced"]!], [10, 20])
    }))

  it.effect("that cannot be built fails the layer with its own error", () =>
    Effect.gen(function*() {
      const refused: Layer.Layer<Reward, "no key"> = Layer.effect(Reward, Effect.fail("no key" as const))
      const layer: Layer.Layer<RewardActor, "no key"> = RewardActor.layer([
        { reward: RuleReward.layer, weight: 1 },
        { reward: refused, weight: 1 }
      ])
      assert.strictEqual(yield* Effect.flip(Effect.provide(Effect.asVoid(RewardActor), layer)), "no key")
    }))

  it.effect("lives as long as the actors", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const held = Layer.unwrap(
        Effect.as(
          Effect.acquireRelease(Effect.sync(() => events.push("open")), () => Effect.sync(() => events.push("closed"))),
          Reward.layer("held", ({ items }) => {
            events.push("asked")
            return Array.from(items)
          })
        )
      )
      yield* score(one(held), [group([1])])
      assert.deepStrictEqual(events, ["open", "asked", "closed"])
    }))
})

describe("a reward that does not apply", () => {
  it.effect("adds nothing to a group's total and stands as null beside the others", () =>
    Effect.gen(function*() {
      const odd = Reward.layer("odd", ({ items, target }) => target % 2 === 1 ? Array.from(items, () => 5) : null)
      const earned = yield* score([...one(odd), ...one(RuleReward.layer)], [group([1, 0], 0), group([1, 0], 1)])
      assert.isNull(earned[0]!.parts["odd"])
      assert.deepStrictEqual([...earned[0]!.total], [0, 1])
      assert.deepStrictEqual([...earned[1]!.total], [6, 5])
      const { space } = yield* Sids
      const record = (some: typeof earned) => {
        const generated = some.map((rewards, ordinal) => ({
          rewards,
          rollout: rollout(space, { ordinal, history: { user: 0, items: Int32Array.of(0) }, target: 1 }, {
            version: 0,
            leaves: Int32Array.from([0, 1], (item) => space.leaf(item))
          })
        }))
        return StepRecord.of(space, { step: 1, generated, usable: [], report: undefined, seconds: {} })
      }
      const { fields } = record(earned)
      assert.strictEqual(fields["reward.odd"], 5)
      assert.strictEqual(fields["reward.rule"], 0.5)
      const { fields: without } = record(earned.slice(0, 1))
      assert.notProperty(without, "reward.odd")
    }).pipe(Effect.provide(Sids.layer(Testing.index(8)))))
})

describe("a reward that misbehaves", () => {
  const bad = {
    "throws": [
      Reward.layer("bad", () => {
        throw new Error("no connection")
      }),
      "RewardFailed",
      "no connection"
    ],
    "fails": [Reward.layer("bad", () => Effect.fail("refused")), "RewardFailed", "refused"],
    "dies": [Reward.layer("bad", () => Effect.die(new Error("a bug"))), "RewardFailed", "a bug"],
    "is a service that throws": [
      Layer.succeed(Reward, {
        name: "bad",
        score: () => {
          throw new Error("at once")
        }
      }),
      "RewardFailed",
      "at once"
    ],
    "answers NaN": [Reward.layer("bad", () => [1, NaN]), "NotFinite", "candidate 1 of group 0 received NaN"],
    "answers infinity": [Reward.layer("bad", () => [1e39, 0]), "NotFinite", "candidate 0 of group 0 received Infinity"],
    "answers too few numbers": [Reward.layer("bad", () => [1]), "WrongCount", "2 candidates but received 1"],
    "answers too many numbers": [Reward.layer("bad", () => [1, 2, 3]), "WrongCount", "2 candidates but received 3"],
    "forgets a group": [
      Reward.layerBatch("bad", () => Effect.succeed([])),
      "WrongCount",
      "group 0 has 2 candidates but received 0"
    ],
    "answers for more groups": [
      Reward.layerBatch("bad", () => Effect.succeed([[1, 2], [3, 4]])),
      "WrongGroups",
      "received 1 groups and returned results for 2"
    ]
  } as const
  for (const [name, [reward, tag, words]] of Object.entries(bad)) {
    it.effect(`${name}: a typed error, or not applicable where that is its policy`, () =>
      Effect.gen(function*() {
        const failed = yield* Effect.flip(score([...one(RuleReward.layer), ...one(reward)], [group([0, 1])]))
        assert.strictEqual(failed._tag, "RewardError")
        assert.strictEqual(failed.reward, "bad")
        assert.strictEqual(reasonOf(failed), tag)
        assert.include(failed.message, words)
        const [earned] = yield* score(
          [...one(RuleReward.layer), { reward, weight: 3, onFailure: "notApplicable" }],
          [group([0, 1])]
        )
        assert.deepStrictEqual([...earned!.total], [1, 0])
        assert.isNull(earned!.parts["bad"])
      }))
  }

  it.effect("hangs: a typed error after its time, for every try", () =>
    Effect.gen(function*() {
      let stopped = 0
      const hanging = Reward.layerBatch("hanging", () =>
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => void stopped++)))
      const rewards = [{ reward: hanging, weight: 1, timeout: "2 seconds", retries: Schedule.recurs(2) }] as const
      const fiber = yield* Effect.forkChild(Effect.flip(score(rewards, [group([0])])))
      yield* TestClock.adjust("5900 millis")
      assert.strictEqual(stopped, 2)
      yield* TestClock.adjust("200 millis")
      const failed = yield* Fiber.join(fiber)
      assert.strictEqual(reasonOf(failed), "TooSlow")
      assert.include(failed.message, "2s")
      assert.strictEqual(stopped, 3)
    }))

  it.effect("is late: its answer is dropped, and the next batch gets its own", () =>
    Effect.gen(function*() {
      let calls = 0
      const late = Reward.layerBatch("late", (groups) => {
        const own = ++calls
        return Effect.as(
          Effect.sleep(own === 1 ? "3 seconds" : 0),
          groups.map(({ items }) => Array.from(items, () => own))
        )
      })
      const rewards = [{ reward: late, weight: 1, timeout: "1 second", onFailure: "notApplicable" }] as const
      const fiber = yield* Effect.forkChild(
        Effect.gen(function*() {
          const actor = yield* RewardActor
          return [yield* actor.score([group([7])]), yield* actor.score([group([7])])]
        }).pipe(Effect.provide(RewardActor.layer(rewards)))
      )
      yield* TestClock.adjust("10 seconds")
      const [first, second] = yield* Fiber.join(fiber)
      assert.isNull(first![0]!.parts["late"])
      assert.deepStrictEqual([...second![0]!.total], [2])
    }))

  it.effect("is asked again as its schedule says, and only for what failed", () =>
    Effect.gen(function*() {
      for (const [failures, answers] of [[2, true], [3, false]] as const) {
        const fake = Testing.reward("shaky", 1)
        fake.failNext(failures)
        const steady = Testing.reward("steady", 1)
        const rewards = [{ reward: fake.reward, weight: 1, retries: 2 }, { reward: steady.reward, weight: 1 }] as const
        const fiber = yield* Effect.forkChild(Effect.exit(score(rewards, [group([0])])))
        yield* TestClock.adjust("99 millis")
        assert.strictEqual(fake.calls.length, 1)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(fiber))._tag === "Success", answers)
        assert.deepStrictEqual([fake.calls.length, steady.calls.length], [3, 1])
      }
      const broken = Testing.reward("broken", NaN)
      yield* Effect.flip(score([{ reward: broken.reward, weight: 1, retries: Schedule.recurs(4) }], [group([0])]))
      assert.strictEqual(broken.calls.length, 5)
      yield* Effect.repeat(Effect.void, backoff(0))
    }))
})

describe("the actors", () => {
  it.effect("ask all rewards at the same time, and each for one batch at a time", () =>
    Effect.gen(function*() {
      const doors = [yield* Deferred.make<void>(), yield* Deferred.make<void>()] as const
      const seen: Array<string> = []
      const waiting = (name: string) =>
        Reward.layerBatch(name, (groups) => {
          const batch = groups[0]!.target
          seen.push(`${name} ${batch}`)
          return Effect.as(Deferred.await(doors[batch]!), groups.map(({ items }) => Array.from(items)))
        })
      yield* Effect.gen(function*() {
        const actor = yield* RewardActor
        const first = yield* Effect.forkChild(actor.score([group([1], 0)]))
        const second = yield* Effect.forkChild(actor.score([group([2], 1)]))
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(seen, ["a 0", "b 0"])
        yield* Deferred.succeed(doors[1], undefined)
        yield* TestClock.adjust(1)
        assert.strictEqual(seen.length, 2)
        yield* Deferred.succeed(doors[0], undefined)
        assert.deepStrictEqual([...(yield* Fiber.join(first))[0]!.total], [2])
        assert.deepStrictEqual([...(yield* Fiber.join(second))[0]!.total], [4])
        assert.deepStrictEqual(seen, ["a 0", "b 0", "a 1", "b 1"])
      }).pipe(Effect.provide(RewardActor.layer([...one(waiting("a")), ...one(waiting("b"))])))
    }))

  it.effect("tell rewards of one name apart", () =>
    Effect.gen(function*() {
      const rewards = [...one(Reward.layer("same", () => [1])), ...one(Reward.layer("same", () => [2]))]
      const [earned] = yield* score(rewards, [group([0])])
      assert.deepStrictEqual(Object.entries(earned!.parts).map(([name, part]) => [name, part?.[0]]), [
        ["same", 1],
        ["same-2", 2]
      ])
      const names = yield* Effect.map(RewardActor, (actor) => actor.names).pipe(
        Effect.provide(RewardActor.layer(rewards))
      )
      assert.deepStrictEqual(names, ["same", "same-2"])
    }))

  it.effect("have nothing to give without rewards", () =>
    Effect.gen(function*() {
      const [earned] = yield* score([], [group([0, 1])])
      assert.deepStrictEqual([[...earned!.total], earned!.parts], [[0, 0], {}])
      assert.isTrue(areZero([]))
    }))

  it.effect("standardise each reward over its group or over the batch, and keep the parts as they were", () =>
    Effect.gen(function*() {
      const raw = Reward.layer("raw", ({ items, target }) => target === 9 ? null : Float32Array.from(items))
      const rewards = [{ reward: raw, weight: 2 }, { reward: RuleReward.layer, weight: 0 }] as const
      const groups = [group([1, 2, 6], 8), group([4, 4], 8), group([3, 5], 9)]
      const standard = (of: ReadonlyArray<number>) => {
        const mean = of.reduce((a, b) => a + b) / of.length
        const deviation = Math.sqrt(of.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (of.length - 1))
        return (x: number) => 2 * (x - mean) / (deviation + 1e-4)
      }
      const expected = {
        none: [[2, 4, 12], [8, 8], [0, 0]],
        group: [[1, 2, 6].map(standard([1, 2, 6])), [0, 0], [0, 0]],
        batch: [[1, 2, 6].map(standard([1, 2, 6, 4, 4])), [4, 4].map(standard([1, 2, 6, 4, 4])), [0, 0]]
      }
      for (const [normalise, totals] of Object.entries(expected)) {
        const earned = yield* score(rewards, groups, { normalise: normalise as keyof typeof expected })
        for (const [g, total] of totals.entries()) assert.isBelow(distance(earned[g]!.total, total), 1e-5, normalise)
        assert.deepStrictEqual(earned.map(({ parts }) => parts["raw"] && [...parts["raw"]]), [[1, 2, 6], [4, 4], null])
      }
      const [alone] = yield* score(rewards, [group([5], 8)], { normalise: "group" })
      assert.deepStrictEqual([...alone!.total], [0])
    }))
})

describe("standardised rewards against TRL", () => {
  const folder = join(golden, "lm", "grpo")
  const cases = list(folder).filter((file) => file.endsWith(".safetensors") && !file.includes("grad")).flatMap(
    (file) => {
      const stored = tensors(folder, file)
      return stored.has("advantages.normalize_then_sum") ? [[file, stored] as const] : []
    }
  )
  if (cases.length === 0) it.skipIf(true)("no case with rewards by function is here", () => {})
  for (const [file, stored] of cases) {
    it.effect(`normalise, then sum: ${file}`, () =>
      Effect.gen(function*() {
        const { data, shape: [rows, functions] } = stored.get("rewards_per_function")!
        const size: number = json(folder, file.replace("safetensors", "json")).numGenerations
        const groups = Array.from({ length: rows! / size }, (_, g) =>
          group(Array.from({ length: size }, (_, c) => g * size + c)))
        const rewards = Array.from({ length: functions! }, (_, k) => ({
          weight: 1,
          reward: Reward.layer(`r${k}`, ({ items }) =>
            Array.from(items, (row) => Number(data[row * functions! + k])))
        }))
        const totals = (yield* score(rewards, groups, { normalise: "group" })).flatMap(({ total }) => [...total])
        const mean = totals.reduce((a, b) => a + b) / totals.length
        const deviation = Math.sqrt(totals.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (totals.length - 1))
        const found = totals.map((x) => (x - mean) / (deviation + 1e-4))
        assert.isBelow(distance(found, stored.get("advantages.normalize_then_sum")!.data as Float32Array), 1e-5)
      }))
  }
})
