/**
 * Actors of one process: the same groups and weights as direct calls, and each failure as it was.
 */
import { assert, describe, it } from "@effect/vitest"
import * as TestRunner from "effect/cluster/TestRunner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PrimaryKey from "effect/PrimaryKey"
import * as Schema from "effect/Schema"
import * as InProcess from "../../layers/cluster/InProcess.ts"
import * as RewardEntity from "../../layers/cluster/RewardEntity.ts"
import * as RolloutEntity from "../../layers/cluster/RolloutEntity.ts"
import { GroupInbox } from "../../src/grpo/actor/GroupInbox.ts"
import * as NamedWeights from "../../src/grpo/actor/NamedWeights.ts"
import { OfferedWeights } from "../../src/grpo/actor/OfferedWeights.ts"
import { DrawGroups, DrawnGroup } from "../../src/grpo/actor/RolloutMessages.ts"
import { WeightsName } from "../../src/grpo/actor/WeightsName.ts"
import { type Rollout, RolloutActor } from "../../src/grpo/RolloutActor.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { RewardActor } from "../../src/reward/RewardActor.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { policy, rewards, rollouts, train } from "./Fixture.ts"

/** A cluster of this process that encodes every message, and `actors` actors. */
const encoding = (actors: number) =>
  RolloutEntity.layerClient({ actors }).pipe(
    Layer.provide(
      RolloutEntity.layerServer().pipe(
        Layer.provide([rollouts.pipe(Layer.provide(NamedWeights.layerPublished)), NamedWeights.NamedWeights.layerLocal])
      )
    ),
    Layer.provide([OfferedWeights.layerLocal, TestRunner.layer])
  )

/** Weights of no policy, version 0. */
const noWeights = PublishedWeights.layerOf(Effect.succeed({ version: 0, feeds: {} }))

const drawn = (ordinal: number, step: number, version: number, leaf: number): DrawnGroup => ({
  step,
  ordinal,
  version,
  leaves: Int32Array.of(leaf),
  items: Int32Array.of(3),
  hits: [true],
  behaviour: [Float32Array.of(-1)]
})

const prompts = [4, 0, 7].map((ordinal) => ({
  ordinal,
  history: { user: ordinal, items: Int32Array.of(1, 2) },
  target: 3
}))

describe("actors of one process", () => {
  it.live("end with the weights of direct calls, with as many actors as one likes, encoded or not", () =>
    Effect.gen(function*() {
      const direct = yield* train(rollouts, rewards)
      assert.strictEqual(yield* train(InProcess.rollouts(rollouts), InProcess.rewards(rewards)), direct)
      for (const actors of [1, 3, 40]) {
        const scored = RewardEntity.layerClient().pipe(
          Layer.provide(RewardEntity.layerServer().pipe(Layer.provide(rewards))),
          Layer.provide(TestRunner.layer)
        )
        assert.strictEqual(yield* train(encoding(actors), scored), direct, `${actors} actors`)
      }
      assert.notStrictEqual(yield* train(rollouts, RewardActor.layer([])), direct)
    }))

  it.live("hand over what they are given and return what was drawn, without a copy", () =>
    Effect.gen(function*() {
      const fake = Testing.rollouts()
      const made: Array<Rollout> = []
      const kept = Layer.effect(
        RolloutActor,
        Effect.map(RolloutActor, (actor) =>
          RolloutActor.of({
            generate: (prompts, step) =>
              Effect.tap(actor.generate(prompts, step), (drawn) => Effect.sync(() => void made.push(...drawn)))
          }))
      ).pipe(Layer.provide(fake.layer))
      yield* Effect.gen(function*() {
        const found = yield* (yield* RolloutActor).generate(prompts, 5)
        assert.deepStrictEqual(found.map(({ prompt }) => prompt.ordinal), [4, 0, 7])
        const [sent] = fake.calls[0]! as [typeof prompts]
        for (const [i, rollout] of found.entries()) {
          assert.strictEqual(rollout.prompt, prompts[i])
          assert.strictEqual(sent[i]!.history.items, prompts[i]!.history.items)
          assert.strictEqual(rollout.leaves, made[i]!.leaves)
          assert.strictEqual(rollout.behaviour![0], made[i]!.behaviour![0])
        }
      }).pipe(
        Effect.provide(InProcess.rollouts(kept).pipe(Layer.provide(Layer.merge(noWeights, policy))))
      )
    }))

  it.live("fail as the actor behind them does, with its typed error, and answer the next batch", () =>
    Effect.gen(function*() {
      const fake = Testing.rollouts()
      fake.failNext(1)
      const broken = Testing.reward("broken", Number.NaN)
      const thrown = Layer.succeed(
        RolloutActor,
        RolloutActor.of({ generate: () => Effect.die(new Error("no such device")) })
      )
      yield* Effect.gen(function*() {
        const actor = yield* RolloutActor
        const failed = yield* Effect.flip(actor.generate(prompts, 1))
        assert.strictEqual(failed.reason._tag, "ActorFailed")
        assert.include(failed.message, "it was told to")
        assert.strictEqual((yield* actor.generate(prompts, 1)).length, 3)
        const reward = yield* Effect.flip(
          (yield* RewardActor).score([{
            user: 0,
            history: Int32Array.of(),
            target: 1,
            items: Int32Array.of(1),
            hits: []
          }])
        )
        assert.strictEqual(reward.reason._tag, "NotFinite")
        assert.include(reward.message, "\"broken\"")
      }).pipe(
        Effect.provide(
          Layer.merge(
            InProcess.rollouts(fake.layer),
            InProcess.rewards(RewardActor.layer([{ reward: broken.reward, weight: 1 }]))
          ).pipe(Layer.provide(Layer.merge(noWeights, policy)))
        )
      )
      const defect = yield* Effect.flatMap(RolloutActor, (actor) => Effect.flip(actor.generate(prompts, 2))).pipe(
        Effect.provide(InProcess.rollouts(thrown).pipe(Layer.provide(noWeights)))
      )
      assert.strictEqual(defect.message, "the rollouts of step 2 failed: no such device")
    }))

  it.live("give up on a batch that takes too long, and can be interrupted while they wait", () =>
    Effect.gen(function*() {
      const fake = Testing.rollouts()
      fake.delay("Infinity")
      const client = RolloutEntity.layerClient({ patience: "50 millis" }).pipe(
        Layer.provide(
          RolloutEntity.layerServer().pipe(Layer.provide([fake.layer, NamedWeights.NamedWeights.layerLocal]))
        ),
        Layer.provide([OfferedWeights.layerLocal, InProcess.layer]),
        Layer.provide(Layer.merge(noWeights, policy))
      )
      const late = yield* Effect.flatMap(RolloutActor, (actor) => Effect.flip(actor.generate(prompts, 2))).pipe(
        Effect.provide(client)
      )
      assert.include(late.message, "no answer within 50ms")
    }))
})

describe("messages", () => {
  it("take each group of a step once, whatever else is delivered", () => {
    const inbox = new GroupInbox(prompts, 2, 9)
    inbox.take([drawn(7, 2, 9, 70), drawn(7, 2, 9, 71), drawn(4, 1, 9, 40), drawn(0, 2, 8, 10), drawn(5, 2, 9, 50)])
    assert.deepStrictEqual(inbox.missing.map(({ ordinal }) => ordinal), [4, 0])
    inbox.take([drawn(0, 2, 9, 1), drawn(4, 2, 9, 41)])
    inbox.take([drawn(4, 2, 9, 42)])
    assert.deepStrictEqual(inbox.missing, [])
    assert.deepStrictEqual(inbox.rollouts.map(({ leaves }) => leaves[0]), [41, 1, 70])
    assert.deepStrictEqual(inbox.rollouts.map(({ prompt }) => prompt), prompts)
    assert.strictEqual(inbox.ignored, 5)
  })

  it.effect("come back from JSON as they were, and are small", () =>
    Effect.gen(function*() {
      const codec = Schema.fromJsonString(Schema.toCodecJson(Schema.Array(DrawnGroup)))
      const group: DrawnGroup = {
        step: 3,
        ordinal: 5,
        version: 7,
        // Views that begin anywhere in a larger buffer.
        leaves: Int32Array.of(9, 1, 2, 2 ** 31 - 1).subarray(1),
        items: Int32Array.of(-1, 0, 5),
        hits: [true, false, false],
        behaviour: [Float32Array.of(-0.1, -Infinity, -0), Float32Array.of(), Float32Array.of(Math.fround(1e-42))]
      }
      const text = yield* Schema.encodeEffect(codec)([group])
      assert.deepStrictEqual([...yield* Schema.decodeEffect(codec)(text)], [group])
      const many = Array.from({ length: 64 }, (_, ordinal) => ({
        ...drawn(ordinal, 1, 1, 3),
        leaves: new Int32Array(16),
        items: new Int32Array(16),
        hits: Array.from({ length: 16 }, () => false),
        behaviour: Array.from({ length: 16 }, () => new Float32Array(3))
      }))
      // 320 bytes of a group with 16 candidates of 3 codes are numbers, and a third more in base64.
      assert.isBelow((yield* Schema.encodeEffect(codec)(many)).length, 64 * 900)
    }))

  it("have the key of an equal message, and of no other", () => {
    const weights = new WeightsName({ version: 3, digest: "d" })
    const base = { session: "s", step: 1, attempt: 0, weights, prompts }
    const key = (changed: Partial<typeof base>) => PrimaryKey.value(new DrawGroups({ ...base, ...changed }))
    assert.strictEqual(key({ prompts: prompts.map((one) => ({ ...one })) }), key({}))
    const others = [
      { session: "t" },
      { step: 2 },
      { attempt: 1 },
      { weights: new WeightsName({ version: 4, digest: "d" }) },
      { weights: new WeightsName({ version: 3, digest: "e" }) },
      { prompts: prompts.slice(1) },
      { prompts: prompts.map((one) => ({ ...one, target: 4 })) },
      { prompts: prompts.map((one) => ({ ...one, history: { user: 1, items: Int32Array.of(2, 1) } })) }
    ]
    assert.strictEqual(new Set([key({}), ...others.map(key)]).size, others.length + 1)
    assert.isBelow(key({}).length, 200)
  })
})
