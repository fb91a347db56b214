import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Reference from "../../layers/tfjs/Reference.ts"
import * as Mixture from "../../src/grpo/Mixture.ts"
import * as Adam from "../../src/optimizer/Adam.ts"
import * as AdamW from "../../src/optimizer/AdamW.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import { Checkpointer } from "../../src/run/Checkpointer.ts"
import * as TrainingState from "../../src/training/TrainingState.ts"

const optimizer = Schema.decodeSync(AdamW.AdamWConfig)({ averaging: 0.9 })

const counters = { step: 6, epoch: 6, best: 0.5, bestEpoch: 6, sinceBest: 0, start: 0.1, asked: 6, origin: 3 }

const train = Effect.fnUntraced(function*(store: ParameterStore.ParameterStore) {
  for (let i = 0; i < 3; i++) {
    store.buffer.flat("gradients").forEach((_, at, all) => (all[at] = Math.cos(at + 3 * i)))
    yield* store.apply(Adam.adamW(optimizer), 0.1)
  }
})

const open = ParameterStore.make({
  "block.matrix": { shape: [3, 4], initialize: (values: Float32Array) => values.fill(1) },
  vector: { shape: [5], initialize: (values: Float32Array) => values.fill(-1) }
})

/** Evaluation weights of a store. */
const values = Effect.fnUntraced(function*(store: ParameterStore.ParameterStore) {
  const { average, weights } = yield* store.save
  return [...new Map([...weights, ...average]).values()].flatMap(({ data }) => [...data as Float32Array])
})

describe("Mixture", () => {
  it("is the best one whose lists are as broad as before, else the broadest", () => {
    const measured = [
      { share: 1, ndcg: 0.5, breadth: 0.2 },
      { share: 0.5, ndcg: 0.4, breadth: 0.31 },
      { share: 0.75, ndcg: 0.45, breadth: 0.3 },
      { share: 0.25, ndcg: 0.45, breadth: 0.3 }
    ] as const
    const shareAt = (breadth: number, ndcg = 0.3) => Mixture.choose(measured, { breadth, ndcg }).share
    assert.deepStrictEqual([0.1, 0.2, 0.25, 0.3, 0.305, 0.4].map((at) => shareAt(at)), [1, 1, 0.75, 0.75, 0.5, 0.5])
    // What is worse than before training is not taken for its breadth.
    assert.deepStrictEqual([0.25, 0.305, 0.4].map((at) => shareAt(at, 0.42)), [0.75, 0.75, 0.75])
    assert.deepStrictEqual([shareAt(0.25, 0.46), shareAt(0.4, 0.46), shareAt(0.4, 0.9)], [1, 1, 1])
  })

  it.effect("is the mean of the evaluation weights, measured one by one, and replaces the best checkpoint", () =>
    Effect.gen(function*() {
      const store = yield* open
      const checkpointer = yield* Checkpointer
      const before = yield* store.save
      const start = yield* values(store)
      yield* train(store)
      yield* TrainingState.save(store, "grpo", counters, true)
      const end = yield* values(store)
      const mean = (share: number) => start.map((x, i) => Math.fround((1 - share) * x + share * end[i]!))
      const seen: Array<ReadonlyArray<number>> = []
      const { chosen, measured } = yield* Mixture.settle(store, {
        before,
        shares: [0.25, 0.5],
        start: { ndcg: 0.1, breadth: 0.3 },
        measure: Effect.map(
          values(store),
          (now) => ({ ndcg: 0.1 + seen.push(now), breadth: seen.length === 1 ? 0.2 : 0.3 })
        )
      })
      assert.deepStrictEqual(seen, [1, 0.25, 0.5].map(mean))
      assert.deepStrictEqual(measured, [
        { share: 1, ndcg: 1.1, breadth: 0.2 },
        { share: 0.25, ndcg: 2.1, breadth: 0.3 },
        { share: 0.5, ndcg: 3.1, breadth: 0.3 }
      ])
      assert.strictEqual(chosen, measured[2])
      assert.deepStrictEqual(Mixture.event("grpo", 6, { chosen, measured }).fields, {
        share: 0.5,
        "NDCG@10": 3.1,
        breadth: 0.3,
        "NDCG@10 at 1": 1.1,
        "breadth at 1": 0.2,
        "NDCG@10 at 0.25": 2.1,
        "breadth at 0.25": 0.3,
        "NDCG@10 at 0.5": 3.1,
        "breadth at 0.5": 0.3
      })
      assert.notDeepEqual(mean(0.5), end)
      assert.deepStrictEqual(yield* values(store), mean(0.5))

      yield* TrainingState.saveMixture(store, "grpo", { step: 6, share: 0.5, origin: 3 })
      const loaded = yield* open
      assert.strictEqual(yield* TrainingState.loadFinal(loaded, checkpointer, "grpo", optimizer), 6)
      assert.deepStrictEqual(yield* values(loaded), mean(0.5))
      // Training goes on from the trained weights.
      assert.isTrue(yield* TrainingState.loadBest(loaded, checkpointer, "grpo", optimizer))
      assert.deepStrictEqual(yield* values(loaded), end)
      const resumed = yield* open
      assert.deepStrictEqual(yield* TrainingState.resume(resumed, "grpo", optimizer, 3), counters)
      assert.deepStrictEqual(yield* values(resumed), end)
    }).pipe(Effect.scoped, Effect.provide([Checkpointer.layerMemory, Reference.layer])))

  it.effect("counts for the checkpoint alone that it was made of", () =>
    Effect.gen(function*() {
      const store = yield* open
      const checkpointer = yield* Checkpointer
      const final = Effect.gen(function*() {
        const loaded = yield* open
        const step = yield* TrainingState.loadFinal(loaded, checkpointer, "grpo", optimizer)
        return step === undefined ? [] : yield* values(loaded)
      })
      assert.deepStrictEqual(yield* final, [])
      yield* TrainingState.saveMixture(store, "grpo", { step: 6, share: 0.5, origin: 3 })
      assert.deepStrictEqual(yield* final, [])
      const mixed = yield* values(store)
      yield* train(store)
      const trained = yield* values(store)
      for (
        const [at, expected] of [
          [{ step: 6, origin: 3 }, mixed],
          [{ step: 6, origin: 4 }, trained],
          [{ step: 9, origin: 3 }, trained]
        ] as const
      ) {
        yield* TrainingState.save(store, "grpo", { ...counters, ...at }, true)
        assert.deepStrictEqual(yield* final, expected)
      }
    }).pipe(Effect.scoped, Effect.provide([Checkpointer.layerMemory, Reference.layer])))
})
