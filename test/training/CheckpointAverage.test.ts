import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Reference from "../../layers/tfjs/Reference.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import * as Selection from "../../src/training/Selection.ts"
import * as TrainingState from "../../src/training/TrainingState.ts"

const specs = {
  matrix: { shape: [3, 4], initialize: (values: Float32Array) => values.fill(1) },
  vector: { shape: [5], initialize: (values: Float32Array) => values.fill(-1) },
  frozen: { shape: [2], trainable: false, initialize: (values: Float32Array) => values.fill(0.1) }
}

/** A training with made-up gradients, whose validations have the scores given. */
const training = Effect.fnUntraced(function*(
  averaging: number,
  averaged: number,
  scores: ReadonlyArray<number>,
  rounds = scores.length
) {
  const config = Schema.decodeSync(AdamW.AdamWConfig)({ averaging })
  const optimizer = Adam.adamW(config)
  const store = yield* ParameterStore.make(specs)
  const selection = yield* Selection.open({ kind: "sft", rounds, every: 1, optimizer: config, averaged }).pipe(
    Effect.provideService(PolicyParameters, store)
  )
  const seen: Array<ReadonlyMap<string, ArrayLike<number>>> = []
  const evaluated = Effect.map(
    store.save,
    (state) => new Map([...TrainingState.evaluationWeights(state)].map(([name, { data }]) => [name, data.slice()]))
  )
  for (let round = selection.round; round < rounds; round++) {
    store.buffer.flat("gradients").forEach((_, at, all) => (all[at] = Math.cos(at + 3 * round)))
    yield* store.apply(optimizer, 0.1)
    seen.push(yield* evaluated)
    yield* selection.observe(scores[round]!, { step: round + 1, round: round + 1 })
  }
  return { config, store, selection, seen, evaluated, trained: yield* store.save }
})

const meanOf = (some: ReadonlyArray<ReadonlyMap<string, ArrayLike<number>>>) =>
  new Map(
    [...some[0]!].map(([name, data]) => [
      name,
      Float32Array.from(data, (_, i) => some.reduce((sum, one) => sum + one.get(name)![i]!, 0) / some.length)
    ])
  )

const run = <A, E>(effect: Effect.Effect<A, E, Effect.Services<ReturnType<typeof training>> | Checkpointer>) =>
  effect.pipe(Effect.scoped, Effect.provide(Layer.merge(Reference.layer, Checkpointer.layerMemory)))

describe("the average of the best validations", () => {
  for (const averaging of [0, 0.9]) {
    it.effect(`is scored and, if it is better, evaluated and begun from: averaging ${averaging}`, () =>
      run(Effect.gen(function*() {
        const checkpointer = yield* Checkpointer
        // Of equal scores the earlier ones are kept: rounds 4, 1 and 2.
        const scores = [0.5, 0.4, 0.1, 0.6, 0.4]
        const { config, evaluated, seen, selection, store, trained } = yield* training(averaging, 3, scores)
        const expected = meanOf([seen[3]!, seen[0]!, seen[1]!])
        assert.notDeepEqual(expected, seen[3])

        // A worse one changes nothing.
        assert.strictEqual(yield* selection.average(Effect.succeed(0.6)), 0.6)
        assert.deepStrictEqual(yield* store.save, trained)
        assert.deepStrictEqual([selection.best, selection.bestRound], [0.6, 4])
        yield* selection.finish
        assert.deepStrictEqual(yield* evaluated, seen[3])
        yield* store.restore(trained)

        const measured: Array<unknown> = []
        const measure = Effect.map(evaluated, (weights) => (measured.push(weights), 0.7))
        assert.strictEqual(yield* selection.average(measure), 0.7)
        assert.deepStrictEqual(measured, [expected])
        assert.deepStrictEqual(yield* store.save, trained)
        assert.deepStrictEqual([selection.best, selection.bestRound], [0.7, 5])
        yield* selection.finish
        assert.deepStrictEqual(yield* evaluated, expected)
        const begun = yield* ParameterStore.make(specs)
        yield* TrainingState.begin(begun, (yield* checkpointer.best("sft"))!, config)
        assert.deepStrictEqual(
          new Map([...(yield* begun.save).weights].map(([name, { data }]) => [name, data])),
          expected
        )

        // Asked again, nothing else is kept; asked for more rounds, training goes on from its own weights.
        const again = yield* training(averaging, 3, scores)
        assert.deepStrictEqual(again.trained, trained)
        assert.strictEqual(yield* again.selection.average(Effect.succeed(0.7)), 0.7)
        const longer = [...scores, 0.65]
        const more = yield* training(averaging, 3, longer)
        assert.deepStrictEqual([more.selection.best, more.selection.bestRound], [0.7, 5])
        measured.length = 0
        yield* more.selection.average(Effect.map(more.evaluated, (weights) => (measured.push(weights), 0)))
        assert.deepStrictEqual(measured, [meanOf([more.seen[0]!, seen[3]!, seen[0]!])])
        yield* more.selection.finish
        assert.deepStrictEqual(yield* more.evaluated, expected)
        const whole = yield* training(averaging, 3, longer).pipe(Effect.provide(Checkpointer.layerMemory))
        assert.deepStrictEqual(whole.trained, more.trained)
      })))
  }

  it.effect("is of as many as were validated, and of none where one alone is asked for", () =>
    run(Effect.gen(function*() {
      const tensors = Effect.map(
        Checkpointer.use((checkpointer) => checkpointer.latest("sft")),
        (latest) => [...latest!.tensors.keys()]
      )
      const single = yield* training(0.9, 1, [0.1, 0.2])
      assert.isUndefined(yield* single.selection.average(Effect.die("not measured")))
      assert.isTrue((yield* tensors).every((name) => /^(weights|average|slot)\//.test(name)))
      const first = yield* training(0.9, 4, [0.1]).pipe(Effect.provide(Checkpointer.layerMemory))
      assert.isUndefined(yield* first.selection.average(Effect.die("not measured")))
      yield* Effect.gen(function*() {
        const many = yield* training(0.9, 4, [0.3, 0.1, 0.2, 0.5, 0.4, 0.6, 0.05])
        // Four copies of the trained parameters, each with its score; none of the frozen one.
        const kept = (yield* tensors).filter((name) => name.startsWith("validated-"))
        assert.deepStrictEqual(
          kept.toSorted(),
          [0, 1, 2, 3].flatMap((place) =>
            ["slot/score", "weights/matrix", "weights/vector"].map((name) => `validated-${place}.${name}`)
          )
        )
        assert.strictEqual(yield* many.selection.average(Effect.succeed(0)), 0)
      }).pipe(Effect.provide(Checkpointer.layerMemory))
    })))
})
