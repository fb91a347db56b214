/**
 * Rollouts drawn ahead: which weights draw which step, whoever is faster.
 */
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Grpo from "../../programs/Grpo.ts"
import * as Ahead from "../../src/grpo/Ahead.ts"
import * as Prompts from "../../src/grpo/Prompts.ts"
import { RolloutActor } from "../../src/grpo/RolloutActor.ts"
import { ActorFailed, RolloutError } from "../../src/grpo/RolloutError.ts"
import { PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import * as Testing from "../../src/testing/Testing.ts"
import { config, data, learning, rewards, rollouts, save, train, trained } from "../cluster/Fixture.ts"

const prompts = (step: number) =>
  step > config.steps ? undefined : Prompts.make(data, config.prompts, 1).draw(step, config.promptsPerStep)

/** An actor that notes the version that drew each step, and takes as long as it is told. */
const noting = (versions: Array<readonly [step: number, version: number]>, wait: Duration.Input = 0) =>
  Layer.effect(
    RolloutActor,
    Effect.map(RolloutActor, (actor) =>
      RolloutActor.of({
        generate: (prompts, step) =>
          Effect.gen(function*() {
            const drawn = yield* actor.generate(prompts, step)
            versions.push([step, drawn[0]!.version])
            yield* Effect.sleep(wait)
            return drawn
          })
      }))
  ).pipe(Layer.provide(rollouts))

const ahead = (options: Partial<Ahead.AheadOptions>, actor: ReturnType<typeof noting>) =>
  Ahead.layer({ prompts, ...options }).pipe(Layer.provide(actor))

describe("rollouts drawn ahead", () => {
  it.live("are those of the weights before the last update, and after it where training may begin again", () =>
    Effect.gen(function*() {
      const plain: Array<readonly [number, number]> = []
      const direct = yield* train(noting(plain), rewards)
      assert.deepStrictEqual(plain, [[1, 0], [2, 1], [3, 2], [4, 3], [5, 4], [6, 5]])
      const one: Array<readonly [number, number]> = []
      const early = yield* train(ahead({}, noting(one)), rewards)
      assert.deepStrictEqual(one, [[1, 0], [2, 0], [3, 1], [4, 2], [5, 3], [6, 4]])
      assert.notStrictEqual(early, direct)
      const cut: Array<readonly [number, number]> = []
      yield* train(ahead({ resumable: (step) => step % 3 === 0 }, noting(cut)), rewards)
      assert.deepStrictEqual(cut, [[1, 0], [2, 0], [3, 1], [4, 3], [5, 3], [6, 4]])
    }))

  it.live("do not depend on who is faster", () =>
    Effect.gen(function*() {
      const slow = yield* train(ahead({}, noting([], "20 millis")), rewards)
      assert.strictEqual(yield* train(ahead({}, noting([])), rewards), slow)
    }))

  it.live("are drawn again where they may not be stale, or the loop asks for others", () =>
    Effect.gen(function*() {
      const versions: Array<readonly [number, number]> = []
      const strict = yield* train(ahead({ maxStaleness: 0 }, noting(versions)), rewards)
      assert.deepStrictEqual(versions.slice(0, 5), [[1, 0], [2, 0], [2, 1], [3, 1], [3, 2]])
      assert.strictEqual(strict, yield* train(rollouts, rewards))
      const others = ahead({ prompts: (step) => Prompts.draw(data.sequences, 12, [2, step]) }, noting([]))
      assert.strictEqual(yield* train(others, rewards), strict)
    }))

  it.live("stay when the loop asks for further groups of a step", () =>
    Effect.gen(function*() {
      const fake = Testing.rollouts()
      yield* Effect.gen(function*() {
        const actor = yield* RolloutActor
        for (const step of [1, 2]) {
          for (const batch of [prompts(step)!, prompts(step)!.slice(0, 3)]) {
            assert.strictEqual((yield* actor.generate(batch, step)).length, batch.length)
            yield* Effect.yieldNow
          }
        }
        assert.deepStrictEqual(
          fake.calls.map(([asked, step]) => [step, (asked as ReadonlyArray<unknown>).length]),
          [[1, 12], [2, 12], [1, 3], [3, 12], [2, 3]]
        )
      }).pipe(
        Effect.provide(
          Ahead.layer({ prompts }).pipe(
            Layer.provide(fake.layer),
            Layer.provide(PublishedWeights.layerOf(Effect.succeed({ version: 0, feeds: {} }))),
            Layer.provide(trained)
          )
        )
      )
    }))

  it.live("leave a training that is stopped and goes on where it would have come without", () =>
    Effect.gen(function*() {
      const layer = ahead({ resumable: (step) => step % config.stepsPerValidation === 0 }, noting([]))
      const whole = yield* train(layer, rewards)
      const again = yield* Effect.gen(function*() {
        assert.strictEqual((yield* Grpo.train(config, data, 1, { stop: (_, step) => step === 3 })).steps, 3)
        yield* Grpo.train(config, data, 1)
        return yield* save
      }).pipe(Effect.provide(learning(layer, rewards).pipe(Layer.provideMerge(trained))))
      assert.strictEqual(again, whole)
    }))

  it.live("fail the step that they are for, and not the one before", () =>
    Effect.gen(function*() {
      const broken = Layer.succeed(
        RolloutActor,
        RolloutActor.of({
          generate: (_, step) =>
            step === 2
              ? Effect.fail(new RolloutError({ reason: new ActorFailed({ step, detail: "gone" }) }))
              : Effect.succeed([])
        })
      )
      yield* Effect.gen(function*() {
        const actor = yield* RolloutActor
        assert.deepStrictEqual(yield* actor.generate(prompts(1)!, 1), [])
        yield* Effect.sleep("5 millis")
        assert.strictEqual(
          (yield* Effect.flip(actor.generate(prompts(2)!, 2))).message,
          "the rollouts of step 2 failed: gone"
        )
      }).pipe(
        Effect.provide(
          Ahead.layer({ prompts }).pipe(
            Layer.provide(broken),
            Layer.provide(PublishedWeights.layerOf(Effect.succeed({ version: 0, feeds: {} })))
          )
        )
      )
    }))
})
